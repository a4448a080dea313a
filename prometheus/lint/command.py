"""`python -m prometheus lint`: arguments in, findings out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from prometheus.config import RuleConfig
from prometheus.errors import SourceError
from prometheus.lint import exposition
from prometheus.lint.catalogue import BROKEN_INPUT, severity
from prometheus.lint.finding import Finding, Severity
from prometheus.lint.linting import lint, world
from prometheus.lint.query import Source
from prometheus.lint.report import FORMATS, LEVELS, summary
from prometheus.lint.schema import Schema
from prometheus.lint.sources.durations import parsed
from prometheus.lint.sources.reading import sources
from settings.arguments import OneLineParser

DEFAULT = (Path("build/prometheus"), Path("build/dashboards"), Path("runbooks"))

DESCRIPTION = """\
Reads every PromQL query of dashboards (.json), rule files (.yml) and pages (.md, blocks marked promql) and
says what is wrong with it, why, and how to fix it. docs/promql-linter.md explains each rule.

Our own files (dashboards with the tag quotascope, groups named quotascope-..., pages) are held against the
metrics that this repository declares. For any other file, --schema takes the metrics from a scrape; without
it, nothing is said about names and labels there.
"""

EPILOG = """\
examples:
  python -m prometheus lint
  python -m prometheus lint build/dashboards/overview.json
  python -m prometheus lint grafana/*.json rules.yml --schema http://127.0.0.1:9100/metrics
  python -m prometheus lint --format github

to allow one thing in one query, write a comment into it:
  # lint-ignore counter-without-rate: since the process began is what is asked for

exit codes: 0 no finding as severe as --fail-on; 1 such findings; 2 a file, query or schema cannot be read
"""


def add(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    parser = commands.add_parser(
        "lint",
        help="check the queries of dashboards, rules and pages",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    parser.add_argument(
        "files", metavar="FILES", nargs="*", type=Path, help="files or folders; default: build/ and runbooks/"
    )
    parser.add_argument("--format", choices=sorted(FORMATS), default="text", help="default: text")
    parser.add_argument(
        "--fail-on",
        choices=[*LEVELS],
        default="warning",
        help="the least severity that makes the exit code 1; default: warning",
    )
    parser.add_argument(
        "--schema",
        metavar="URL|FILE",
        action="append",
        default=[],
        help="a scrape that shows the metrics of the files; may be given several times; ours, too, are then "
        "held against it",
    )
    parser.add_argument(
        "--target-label",
        metavar="NAME",
        action="append",
        default=[],
        help="with --schema: a label that scraping adds beside job and instance; may be given several times",
    )
    parser.add_argument(
        "--scrape-interval", metavar="DURATION", type=_duration, help="like 30s; default: ours, 15s"
    )


def run(arguments: argparse.Namespace) -> int:
    """Lint; returns the exit code.

    Raises: SourceError.
    """
    config = RuleConfig()
    held = world(config)
    found = sources(arguments.files or _default())
    if arguments.schema:
        schemas = [exposition.load(where, arguments.target_label) for where in arguments.schema]
        held, found = world(config, Schema.joined(schemas)), _foreign(found)
    if arguments.scrape_interval:
        held = replace(held, scrape_interval=arguments.scrape_interval)
    findings = lint(found, held)
    sys.stdout.write(FORMATS[arguments.format](findings))
    queries = sum(len(source.queries) for source in found)
    quiet = not findings and arguments.format != "sarif"
    print(
        summary(findings, queries, len({source.file for source in found})),
        file=sys.stdout if quiet else sys.stderr,
    )
    return exit_code(findings, arguments.fail_on)


def exit_code(findings: Sequence[Finding], fail_on: Severity = "warning") -> int:
    """2 where a file or a query cannot be read, else 1 where a finding is severe enough."""
    if any(f.complaint.rule in BROKEN_INPUT and severity(f) == "error" for f in findings):
        return 2
    order = list(LEVELS)
    return int(any(order.index(severity(f)) <= order.index(fail_on) for f in findings))


def _default() -> list[Path]:
    missing = [str(path) for path in DEFAULT if not path.is_dir()]
    if missing:
        raise SourceError(f"{', '.join(missing)}: not there; build first (nox -s build), or name files")
    return list(DEFAULT)


def _foreign(found: Iterable[Source]) -> list[Source]:
    return [
        replace(source, ours=False, queries=tuple(replace(query, ours=False) for query in source.queries))
        for source in found
    ]


def _duration(text: str) -> timedelta:
    found = parsed(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text}: allowed: a duration like 15s or 1m")
    return found
