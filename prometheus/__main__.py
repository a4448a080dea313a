"""`python -m prometheus`: writes what Prometheus reads, and checks what is asked of it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics import collector as collector_metrics
from metrics import exporter as exporter_metrics
from metrics import proxy as proxy_metrics
from metrics.family import MetricFamily
from prometheus.build import SCRAPE_FILE, Wanted, files, installed, manifests, targets, write
from prometheus.config import RuleConfig
from prometheus.errors import ConfigError, WatchroomError
from prometheus.lint import command as lint_command
from prometheus.relabel import Relabel, cap_label, drop_label, drop_model
from prometheus.remote_write import RemoteWrite
from prometheus.scrape import NATIVE_HISTOGRAMS, START_TIMESTAMPS
from settings.arguments import OneLineParser, add_config, end_with
from settings.errors import SettingsError
from settings.load import load

DESCRIPTION = """\
Writes the configuration of Prometheus: whom to scrape, what to record, when to alert.

  DIR/prometheus/prometheus.yml        the scrape jobs
  DIR/prometheus/rules/recording.yml   recording rules
  DIR/prometheus/rules/alerts.yml      alerts
  DIR/alertmanager/alertmanager.yml    with [notify] alertmanager: who is told of them
  DIR/kubernetes/*.yml                 with --kubernetes: PrometheusRule and ConfigMaps
"""

EPILOG = """\
examples:
  python -m prometheus build
  python -m prometheus build --out build --proxy-target proxy:8787 --exporter-target exporter:8789
  python -m prometheus build --drop-model gpt-4.1-mini
  python -m prometheus build --discover /etc/prometheus/hosts --token-file /etc/prometheus/token

then:
  promtool check config build/prometheus/prometheus.yml
  prometheus --config.file=build/prometheus/prometheus.yml

exit codes: 0 written; 2 bad arguments, bad configuration, or the files cannot be written
"""


def run(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Write the files; returns the exit code.

    Raises: SettingsError, WatchroomError.
    """
    settings = load(arguments.config, environ)
    config = RuleConfig.of(
        settings.rules, settings.console.address, _relabel(arguments), _remote_write(arguments)
    )
    wanted = Wanted(
        arguments.proxy_target,
        arguments.exporter_target,
        arguments.token_file,
        arguments.sidecar_target,
        arguments.discover,
        arguments.collector_target,
        arguments.prometheus_version,
    )
    where = targets(settings, wanted)
    config = installed(config, settings)
    written = dict(files(config, where, settings.notify))
    if arguments.kubernetes:
        written |= manifests(config, arguments.out)
    for path in write(written, arguments.out):
        print(f"wrote {path}")
    flag = f" {START_TIMESTAMPS}" if where.release >= NATIVE_HISTOGRAMS else ""
    print(f"next: prometheus --config.file={arguments.out / SCRAPE_FILE}{flag}")
    return 0


def _relabel(arguments: argparse.Namespace) -> tuple[Relabel, ...]:
    return (
        *(drop_model(model) for model in arguments.drop_model),
        *((cap_label("model", arguments.keep_model),) if arguments.keep_model else ()),
        *(drop_label(*_family_and_label(text)) for text in arguments.drop_label),
    )


def _family_and_label(text: str) -> tuple[MetricFamily, str]:
    name, _, label = text.partition(":")
    for family in (*proxy_metrics.FAMILIES, *exporter_metrics.FAMILIES, *collector_metrics.OWN):
        if family.name == name:
            return family, label
    raise ConfigError(f"--drop-label {text}: allowed: FAMILY:LABEL, a family that the services export")


def _remote_write(arguments: argparse.Namespace) -> RemoteWrite | None:
    if arguments.remote_write_url is None:
        return None
    return RemoteWrite(
        arguments.remote_write_url, arguments.remote_write_token_file, arguments.remote_write_recorded_only
    )


def add(commands: argparse._SubParsersAction[OneLineParser]) -> None:
    build = commands.add_parser(
        "build",
        help="write the scrape configuration, the recording rules and the alerts",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    build.add_argument("--out", metavar="DIR", type=Path, default=Path("build"), help="default: build")
    add_config(build)
    build.add_argument(
        "--prometheus-version",
        metavar="X.Y.Z",
        default="2.42.0",
        help="the Prometheus that reads it; from 3.0 on more can be said. Default: 2.42.0, for any",
    )
    build.add_argument(
        "--kubernetes",
        action="store_true",
        help="also write the rules, and the dashboards that were built into DIR, as manifests",
    )
    _add_targets(build.add_argument_group("whom to scrape"))
    _add_relabelling(build.add_argument_group("what to leave out"))
    _add_remote_write(build.add_argument_group("where else to send samples"))


def _add_targets(group: argparse._ArgumentGroup) -> None:
    where = {
        "--proxy-target": "the proxy",
        "--exporter-target": "the exporter",
        "--collector-target": "the collector",
    }
    for option, service in where.items():
        group.add_argument(
            option, metavar="HOST:PORT", help=f"where {service} answers; default: where it listens"
        )
    group.add_argument(
        "--sidecar-target",
        metavar="HOST:PORT",
        action="append",
        default=[],
        help="one more exporter, beside a codex-lb; may be given several times",
    )
    group.add_argument(
        "--discover",
        metavar="DIR",
        type=Path,
        help="folder in which Prometheus finds further hosts, in files proxy*.yml and exporter*.yml",
    )
    group.add_argument(
        "--token-file",
        metavar="FILE",
        type=Path,
        help="file with the bearer token of /metrics, as Prometheus will find it",
    )


def _add_relabelling(group: argparse._ArgumentGroup) -> None:
    several: dict[str, Any] = {"action": "append", "default": []}
    group.add_argument(
        "--drop-model", metavar="NAME", **several, help="store no series of this model; repeatable"
    )
    group.add_argument(
        "--keep-model", metavar="NAME", **several, help="store no series of any other model; repeatable"
    )
    group.add_argument(
        "--drop-label",
        metavar="FAMILY:LABEL",
        **several,
        help="store this family without a label; repeatable",
    )


def _add_remote_write(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--remote-write-url", metavar="URL", help="like https://metrics.example/api/v1/write")
    group.add_argument(
        "--remote-write-token-file", metavar="FILE", type=Path, help="file with the receiver's bearer token"
    )
    group.add_argument(
        "--remote-write-recorded-only", action="store_true", help="send what rules record, and up, alone"
    )


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command; returns the exit code."""
    parser = OneLineParser(prog="python -m prometheus", description="Prometheus as code.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add(commands)
    lint_command.add(commands)
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "lint":
            return lint_command.run(arguments)
        return run(arguments, environ)
    except (SettingsError, WatchroomError) as error:
        print(f"prometheus: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    end_with(main)
