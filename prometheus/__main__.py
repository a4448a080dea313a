"""`python -m prometheus`: writes what Prometheus reads."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from prometheus.build import SCRAPE_FILE, files, private, targets, write
from prometheus.cli import OneLineParser
from prometheus.config import RuleConfig
from prometheus.errors import WatchroomError
from prometheus.relabel import drop_model
from settings.errors import SettingsError
from settings.load import load

DESCRIPTION = """\
Writes the configuration of Prometheus: whom to scrape, what to record, when to alert.

  DIR/prometheus/prometheus.yml        both scrape jobs
  DIR/prometheus/rules/recording.yml   recording rules
  DIR/prometheus/rules/alerts.yml      alerts
"""

EPILOG = """\
examples:
  python -m prometheus build
  python -m prometheus build --out build --proxy-target proxy:8787 --exporter-target exporter:8789
  python -m prometheus build --drop-model gpt-4.1-mini

then:
  promtool check config build/prometheus/prometheus.yml
  prometheus --config.file=build/prometheus/prometheus.yml

exit codes: 0 written; 2 bad arguments, bad configuration, or the files cannot be written
"""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        settings = load(arguments.config, environ)
        config = RuleConfig(relabel=tuple(drop_model(model) for model in arguments.drop_model))
        where = targets(settings, arguments.proxy_target, arguments.exporter_target, arguments.token_file)
        for path in write(files(private(config, settings), where), arguments.out):
            print(f"wrote {path}")
    except (SettingsError, WatchroomError) as error:
        print(f"prometheus: {error}", file=sys.stderr)
        return 2
    print(f"next: prometheus --config.file={arguments.out / SCRAPE_FILE}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m prometheus", description="Prometheus as code.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    build = commands.add_parser(
        "build",
        help="write the scrape configuration, the recording rules and the alerts",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    build.add_argument("--out", metavar="DIR", type=Path, default=Path("build"), help="default: build")
    build.add_argument(
        "--config", metavar="FILE", type=Path, help="TOML file; without it codex-usage.toml, if there is one"
    )
    build.add_argument(
        "--proxy-target", metavar="HOST:PORT", help="where the proxy answers; default: where it listens"
    )
    build.add_argument(
        "--exporter-target", metavar="HOST:PORT", help="where the exporter answers; default: where it listens"
    )
    build.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        help="file with the bearer token of /metrics, as Prometheus will find it",
    )
    build.add_argument(
        "--drop-model",
        metavar="NAME",
        action="append",
        default=[],
        help="store no series of this model; may be given several times",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
