"""From RuleConfig to dashboard files: the same input gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dashboards.errors import OutputError
from dashboards.kit import resources
from dashboards.kit.plain import Json
from dashboards.kit.resources import resource
from dashboards.pages import accounts, activity, keys, overview, pipeline, routing, tokens
from prometheus import addresses
from prometheus.config import RuleConfig
from prometheus.jobs import confined

FOLDER = Path("dashboards")
GIT_SYNC = Path("git-sync")

DASHBOARDS: Mapping[str, Callable[[RuleConfig], Json]] = {
    "overview": overview.dashboard,
    "accounts": accounts.dashboard,
    "routing": routing.dashboard,
    "api-keys": keys.dashboard,
    "tokens": tokens.dashboard,
    "activity": activity.dashboard,
    "pipeline": pipeline.dashboard,
}
"""Every dashboard by the name of its file."""

QUERIES = frozenset({"expr", "query"})
"""Members of a dashboard that hold PromQL."""


def dashboards(config: RuleConfig) -> Mapping[str, Json]:
    """Every dashboard's JSON by the name of its file, without the ending."""
    return {name: _confined(make(config), config) for name, make in DASHBOARDS.items()}


def _confined(value: Any, config: RuleConfig) -> Any:
    """The same JSON, with every query of panels, variables and annotations about our own jobs alone."""
    if isinstance(value, dict):
        return {
            key: confined(inner, config)
            if key in QUERIES and isinstance(inner, str)
            else _confined(inner, config)
            for key, inner in value.items()
        }
    return [_confined(inner, config) for inner in value] if isinstance(value, list) else value


def text(dashboard: Json) -> str:
    """The file's content: sorted keys, and a newline at the end."""
    return json.dumps(dashboard, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write(contents: Mapping[str, Json], out: Path) -> list[Path]:
    """Write one file for each dashboard below `out`; folders are made as needed.

    Raises: OutputError.
    """
    return _write({f"{name}.json": dashboard for name, dashboard in contents.items()}, out / FOLDER)


def write_resources(contents: Mapping[str, Json], out: Path) -> list[Path]:
    """Write the same dashboards as resources of Grafana 13, in a folder that Git Sync takes as it is.

    Raises: OutputError.
    """
    files = {f"{name}.json": resource(dashboard) for name, dashboard in contents.items()}
    folder = resources.folder(addresses.FOLDER, addresses.FOLDER_TITLE)
    return _write({"_folder.json": folder, **files}, out / GIT_SYNC / addresses.FOLDER_TITLE)


def _write(files: Mapping[str, Json], folder: Path) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_text(text(content), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written: {error.strerror or error}") from error
    return [folder / name for name in files]
