"""From templates to Grafana's provisioning files: the same input gives the same bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from provisioning.errors import OutputError, ValueRefused

TEMPLATES = Path(__file__).with_name("templates")
SUFFIX = ".j2"


@dataclass(frozen=True, slots=True)
class Values:
    """What the templates are filled with.

    Attributes:
        prometheus_url: where Grafana, not the browser, reaches Prometheus.
        prometheus_version: like 3.5.0; Grafana offers only functions that this version has.
        scrape_interval: as Prometheus writes durations, like 15s.
        dashboards_path: the folder of the dashboards, as Grafana sees it.
    Raises: ValueRefused.
    """

    prometheus_url: str
    prometheus_version: str
    scrape_interval: str
    dashboards_path: PurePosixPath

    def __post_init__(self) -> None:
        parts = urlsplit(self.prometheus_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueRefused(f"--prometheus-url {self.prometheus_url!r}; allowed: http(s)://HOST[:PORT]")
        if not re.fullmatch(r"\d+\.\d+\.\d+", self.prometheus_version):
            raise ValueRefused(f"--prometheus-version {self.prometheus_version!r}; allowed: like 3.5.0")
        if not self.dashboards_path.is_absolute():
            raise ValueRefused(f"--dashboards-path {str(self.dashboards_path)!r}; allowed: an absolute path")


def files(values: Values) -> Mapping[PurePosixPath, str]:
    """Every file to write, by its path below the output folder: one for each template, at its place."""
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
        )
        for name in environment.list_templates(extensions=[SUFFIX.lstrip(".")])
    }


def quoted(value: object) -> str:
    """A value as a YAML string. Grafana fills in `$NAME` from its environment, so `$` is doubled."""
    return json.dumps(str(value), ensure_ascii=False).replace("$", "$$")


def write(contents: Mapping[PurePosixPath, str], out: Path) -> list[Path]:
    """Write the files below `out`; folders are made as needed.

    Raises: OutputError.
    """
    written = []
    for relative, text in contents.items():
        path = out / relative
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
        written.append(path)
    return written
