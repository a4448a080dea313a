"""`python -m provisioning`: writes what Grafana reads at its start, each template at its place."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from string import Template

from prometheus import build
from prometheus.errors import ConfigError, WatchroomError
from prometheus.promql import promql
from settings.arguments import OneLineParser, add_config, end_with
from settings.errors import SettingsError
from settings.load import load
from settings.urls import is_http

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

TEMPLATES = Path(__file__).with_name("templates")

EXPECTED = ("plugins", "alerting", "notifiers")
"""Folders that Grafana looks into at its start, the last one up to version 10; it logs an error for each that
is missing."""


@dataclass(frozen=True)
class Values:
    """What the templates are filled with.

    Attributes:
        prometheus_url: where Grafana, not the browser, reaches Prometheus.
        prometheus_version: like 3.5.0; Grafana offers only functions that this version has.
        dashboards_path: the folder of the dashboards, as Grafana sees it.
        webhook_url: where the example contact point sends alerts; without it, alerting is left as it is.
    Raises: ConfigError.
    """

    prometheus_url: str
    prometheus_version: str
    scrape_interval: str
    dashboards_path: PurePosixPath
    webhook_url: str | None = None

    def __post_init__(self) -> None:
        for option, url in (("prometheus-url", self.prometheus_url), ("webhook-url", self.webhook_url)):
            if url is not None and not is_http(url):
                raise ConfigError(f"--{option} {url!r}; allowed: http(s)://HOST[:PORT]")
        if not re.fullmatch(r"\d+\.\d+\.\d+", self.prometheus_version):
            raise ConfigError(f"--prometheus-version {self.prometheus_version!r}; allowed: like 3.5.0")
        if not self.dashboards_path.is_absolute():
            raise ConfigError(f"--dashboards-path {str(self.dashboards_path)!r}; allowed: an absolute path")


def files(values: Values) -> dict[PurePosixPath, str]:
    """Every file to write, by its path below the output folder. Grafana has one tree of policies: without
    a webhook, nobody's is replaced."""
    texts = {name: quoted(value) for name, value in asdict(values).items()}
    return {
        PurePosixPath("provisioning") / path.relative_to(TEMPLATES): Template(path.read_text()).substitute(
            texts
        )
        for path in sorted(TEMPLATES.rglob("*.yml"))
        if values.webhook_url is not None or path.parent.name != "alerting"
    }


def quoted(value: object) -> str:
    """A value as a YAML string. Grafana fills in `$NAME` from its environment, so `$` is doubled."""
    return json.dumps(str(value), ensure_ascii=False).replace("$", "$$")


def write(contents: Mapping[PurePosixPath, str], out: Path) -> list[Path]:
    """Write the files below `out`; folders are made as needed. Raises: OutputError."""
    written = build.write(contents, out)
    for folder in EXPECTED:
        (out / "provisioning" / folder).mkdir(parents=True, exist_ok=True)
    return written


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command; returns the exit code."""
    asked = _parser().parse_args(argv)
    try:
        values = Values(
            asked.prometheus_url,
            asked.prometheus_version,
            promql(load(asked.config, environ).rules.scrape_interval),
            asked.dashboards_path or PurePosixPath(asked.out.absolute() / "dashboards"),
            asked.webhook_url,
        )
        for path in write(files(values), asked.out):
            print(f"wrote {path}")
    except (WatchroomError, SettingsError) as error:
        print(f"provisioning: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="python -m provisioning", description="Grafana's provisioning files.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    purpose = "write the datasource and the dashboard provider"
    add = commands.add_parser("build", help=purpose, description=DESCRIPTION, epilog=EPILOG)
    add.add_argument("--out", metavar="DIR", type=Path, default=Path("build"), help="default: build")
    add_config(add)
    for option, metavar, default, meaning in (
        ("url", "URL", "http://127.0.0.1:9090", "where Grafana reaches Prometheus"),
        ("version", "X.Y.Z", "3.5.0", "Grafana offers only functions that this version has"),
    ):
        said = f"{meaning}; default: {default}"
        add.add_argument(f"--prometheus-{option}", metavar=metavar, default=default, help=said)
    add.add_argument(
        "--dashboards-path",
        metavar="DIR",
        type=PurePosixPath,
        help="the folder of the dashboards, as Grafana sees it; default: DIR/dashboards of --out",
    )
    add.add_argument(
        "--webhook-url",
        metavar="URL",
        help="where Grafana's own alerts go; replaces its notification policies (default: leave them alone)",
    )
    return parser


if __name__ == "__main__":
    end_with(main)
