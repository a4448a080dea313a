"""`python -m provisioning`: writes what Grafana reads at its start."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from prometheus.errors import WatchroomError
from provisioning.build import Values, files, write
from settings.arguments import OneLineParser, add_config, end_with
from settings.errors import SettingsError
from settings.load import load

DESCRIPTION = """\
Writes Grafana's provisioning files.

  DIR/provisioning/datasources/*.yml   the Prometheus to ask
  DIR/provisioning/dashboards/*.yml    the folder that the dashboards are read from
  DIR/provisioning/alerting/*.yml      with --webhook-url: a contact point, and policies, as an example
"""

EPILOG = """\
examples:
  python -m provisioning build
  python -m provisioning build --out /build --prometheus-url http://prometheus:9090

then, for a Grafana of your own:
  GF_PATHS_PROVISIONING=$PWD/build/provisioning

exit codes: 0 written; 2 bad arguments, or the files cannot be written
"""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    out: Path = arguments.out
    try:
        values = Values(
            prometheus_url=arguments.prometheus_url,
            prometheus_version=arguments.prometheus_version,
            scrape_interval=load(arguments.config, environ).rules.scrape_interval,
            dashboards_path=arguments.dashboards_path or PurePosixPath(out.absolute() / "dashboards"),
            webhook_url=arguments.webhook_url,
        )
        for path in write(files(values), out):
            print(f"wrote {path}")
    except (WatchroomError, SettingsError) as error:
        print(f"provisioning: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m provisioning", description="Grafana's provisioning files.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    build = commands.add_parser(
        "build",
        help="write the datasource and the dashboard provider",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    build.add_argument("--out", metavar="DIR", type=Path, default=Path("build"), help="default: build")
    add_config(build)
    build.add_argument(
        "--prometheus-url",
        metavar="URL",
        default="http://127.0.0.1:9090",
        help="where Grafana reaches Prometheus; default: http://127.0.0.1:9090",
    )
    build.add_argument(
        "--prometheus-version",
        metavar="X.Y.Z",
        default="3.5.0",
        help="Grafana offers only functions that this version has; default: 3.5.0",
    )
    build.add_argument(
        "--dashboards-path",
        metavar="DIR",
        type=PurePosixPath,
        help="the folder of the dashboards, as Grafana sees it; default: DIR/dashboards of --out",
    )
    build.add_argument(
        "--webhook-url",
        metavar="URL",
        help="where Grafana's own alerts go; replaces its notification policies (default: leave them alone)",
    )
    return parser


if __name__ == "__main__":
    end_with(main)
