"""`python -m dashboards`: writes what Grafana shows, and draws it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dashboards.build import FOLDER, GIT_SYNC, dashboards, write, write_resources
from dashboards.delivery import commands
from dashboards.delivery.commands import TOKEN, URL, rule_config
from dashboards.errors import DashboardError, TimeError
from dashboards.preview.grafana_time import View
from dashboards.preview.source import fetch
from prometheus.errors import WatchroomError as PrometheusError
from prometheus.http_api import checked
from settings.arguments import OneLineParser, add_config, end_with
from settings.errors import SettingsError

BUILD = """\
Write every dashboard as JSON to DIR/dashboards/NAME.json, for Grafana 10 and later. The compose stack mounts
the folder; elsewhere use Grafana's file provisioning, or import the files. With --schema v2 they are written
as Grafana 13 resources to DIR/git-sync/Quotascope/NAME.json, ready for Git Sync.
"""

PREVIEW = """\
Render every dashboard as a picture, DIR/NAME.png, from the data of a running Prometheus, as Grafana would
show it for all models and APIs. Needs matplotlib (dependency group: preview).
"""

DIFF = f"""\
Show what a deployment would change in a running Grafana, including manual changes made there. The environment
variable {TOKEN} holds the token of a service account with the role Viewer or Editor.
"""

DEPLOY = f"""\
Deploy the dashboards to the folder Quotascope of a running Grafana. Unchanged dashboards are not written;
dashboards no longer built are removed if they are in that folder and carry our tag. The environment variable
{TOKEN} holds the token of a service account with the role Editor.
"""

EPILOG = """\
examples:
  python -m dashboards build
  python -m dashboards preview --prometheus http://127.0.0.1:9090 --out build/previews
  python -m dashboards preview --prometheus http://127.0.0.1:9090 --out . --timezone Europe/Berlin
  GRAFANA_URL=http://127.0.0.1:3000 GRAFANA_TOKEN=glsa_... python -m dashboards deploy

exit codes: 0 done; 1 diff found a difference; 2 bad arguments, Prometheus or Grafana is unreachable, or
the files cannot be written
"""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return COMMANDS[arguments.command](arguments, environ)
    except (DashboardError, PrometheusError, SettingsError) as error:
        print(f"dashboards: {error}", file=sys.stderr)
        return 2


def moment(text: str | None, timezone: str) -> datetime:
    """The time to look from, in the viewer's zone; without a text it is now.

    Raises: TimeError.
    """
    try:
        zone = ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise TimeError(f"--timezone {timezone}: allowed: a name like UTC or Europe/Berlin") from error
    if text is None:
        return datetime.now(UTC).astimezone(zone)
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        raise TimeError(f"--now {text}: allowed: an ISO time like 2026-03-01T12:00") from error
    return given.replace(tzinfo=zone) if given.tzinfo is None else given.astimezone(zone)


def _build(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    built = dashboards(rule_config(arguments, environ))
    second = arguments.schema == "v2"
    for path in (write_resources if second else write)(built, arguments.out):
        print(f"wrote {path}")
    folder = arguments.out / (GIT_SYNC if second else FOLDER)
    print(f"next: {f'commit {folder} for Git Sync' if second else f'let Grafana read {folder}'}")
    return 0


def _preview(arguments: argparse.Namespace, environ: Mapping[str, str]) -> int:
    try:
        from dashboards.preview import preview
    except ImportError as error:
        raise DashboardError(f"{error.name} is missing: pip install matplotlib") from error
    config = rule_config(arguments, environ)
    view = View(
        now=moment(arguments.now, arguments.timezone),
        scrape_interval=config.scrape_interval,
    )
    url = checked(arguments.prometheus)
    for name, dashboard in dashboards(config).items():
        picture = preview.preview(dashboard, view, lambda ask: fetch(url, ask))
        print(f"wrote {preview.write(name, picture, arguments.out)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m dashboards", description="Grafana dashboards as code.")
    choices = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    build = _command(choices, "build", "write every dashboard as JSON", BUILD)
    build.add_argument("--out", metavar="DIR", type=Path, default=Path("build"), help="default: build")
    build.add_argument(
        "--schema",
        choices=("v1", "v2"),
        default="v1",
        help="v1: for Grafana 10 and later; v2: resources of Grafana 13 for Git Sync; default: v1",
    )
    preview = _command(choices, "preview", "render every dashboard as a picture", PREVIEW)
    preview.add_argument("--prometheus", metavar="URL", required=True, help="like http://127.0.0.1:9090")
    preview.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder for the pictures")
    preview.add_argument("--now", metavar="ISO", help="end of the time range; default: now")
    preview.add_argument("--timezone", metavar="NAME", default="UTC", help="time zone; default: UTC")
    diff = _command(choices, "diff", "show what a deployment would change", DIFF)
    deploy = _command(choices, "deploy", "deploy the dashboards to a Grafana", DEPLOY)
    for each in (build, preview, diff, deploy):
        add_config(each)
    for each in (diff, deploy):
        each.add_argument("--grafana", metavar="URL", help=f"default: {URL} of the environment")
    deploy.add_argument("--keep", action="store_true", help="do not remove dashboards")
    return parser


def _command(
    choices: argparse._SubParsersAction[OneLineParser], name: str, purpose: str, description: str
) -> argparse.ArgumentParser:
    return choices.add_parser(
        name,
        help=purpose,
        description=description,
        epilog=EPILOG,
    )


COMMANDS = {"build": _build, "preview": _preview, "diff": commands.diff, "deploy": commands.bring}


if __name__ == "__main__":
    end_with(main)
