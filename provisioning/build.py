"""From templates to Grafana's provisioning files: the same input gives the same bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from prometheus import build as prometheus_build
from prometheus.errors import ConfigError, OutputError
from settings.urls import is_http

TEMPLATES = Path(__file__).with_name("templates")
SUFFIX = ".j2"
ALERTING = "alerting/"


EXPECTED = tuple(PurePosixPath("provisioning", name) for name in ("plugins", "alerting", "notifiers"))
"""Folders that Grafana looks into at its start, the last one up to version 10; it logs an error for each that
is missing."""


@dataclass(frozen=True, slots=True)
class Values:
    """What the templates are filled with.

    Attributes:
        prometheus_url: where Grafana, not the browser, reaches Prometheus.
        prometheus_version: like 3.5.0; Grafana offers only functions that this version has.
        scrape_interval: as Prometheus writes durations, like 15s.
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


def files(values: Values) -> Mapping[PurePosixPath, str]:
    """Every file to write, by its path below the output folder: one for each template, at its place.

    Contact point and policies are among them where a webhook is given.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - this is YAML; the filter `yaml` quotes every value
    )
    environment.filters["yaml"] = quoted
    return {
        PurePosixPath("provisioning", name.removesuffix(SUFFIX)): environment.get_template(name).render(
            prometheus_url=values.prometheus_url,
            prometheus_version=values.prometheus_version,
            scrape_interval=values.scrape_interval,
            dashboards_path=values.dashboards_path,
            webhook_url=values.webhook_url,
        )
        for name in environment.list_templates(extensions=[SUFFIX.lstrip(".")])
        # Grafana has one tree of policies: without being asked, nobody's is replaced.
        if values.webhook_url is not None or not name.startswith(ALERTING)
    }


def quoted(value: object) -> str:
    """A value as a YAML string. Grafana fills in `$NAME` from its environment, so `$` is doubled."""
    return json.dumps(str(value), ensure_ascii=False).replace("$", "$$")


def write(contents: Mapping[PurePosixPath, str], out: Path) -> list[Path]:
    """Write the files below `out`; folders are made as needed.

    Raises: OutputError.
    """
    try:
        for folder in EXPECTED:
            (out / folder).mkdir(parents=True, exist_ok=True)
        return prometheus_build.write(contents, out)
    except OSError as error:
        raise OutputError(f"{error.filename or out}: cannot be written: {error.strerror}") from error
