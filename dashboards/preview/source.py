"""Asking a Prometheus over its HTTP API."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.error import HTTPError

from dashboards.errors import SourceError
from dashboards.preview.grafana_time import Ask
from prometheus.errors import ApiError
from prometheus.http_api import Prometheus


@dataclass(frozen=True, slots=True)
class Series:
    """One series of an answer.

    Attributes:
        name: the legend, with label values filled in.
        points: (aware UTC time, value) in ascending order; at least one.
    """

    name: str
    labels: Mapping[str, str]
    points: tuple[tuple[datetime, float], ...]

    @property
    def last(self) -> float:
        return self.points[-1][1]


def fetch(url: str, ask: Ask) -> list[Series]:
    """What Prometheus answers, in its order; values that are no number are left out.

    Args:
        url: of the server, like `http://127.0.0.1:9090`.
    Raises: SourceError.
    """
    path, form = _request(ask)
    try:
        data = Prometheus(url).ask(path, **form)
    except ApiError as error:
        refused = f": {ask.expr}" if isinstance(error.__cause__, HTTPError) else ""
        raise SourceError(f"{error}{refused}") from error
    if data["resultType"] not in ("matrix", "vector"):
        raise SourceError(f"{ask.expr}: answers with a {data['resultType']}, which no panel shows")
    series = (_series(entry, ask.legend) for entry in data["result"])
    return [one for one in series if one.points]


def named(legend: str, labels: Mapping[str, str]) -> str:
    """The legend with each `{{label}}` replaced by its value."""
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), legend)


def _request(ask: Ask) -> tuple[str, dict[str, str]]:
    if ask.instant:
        return "query", {"query": ask.expr, "time": f"{ask.end.timestamp():.3f}"}
    start, end = f"{ask.start.timestamp():.3f}", f"{ask.end.timestamp():.3f}"
    return "query_range", {
        "query": ask.expr,
        "start": start,
        "end": end,
        "step": f"{ask.step.total_seconds():g}",
    }


def _series(entry: Mapping[str, Any], legend: str) -> Series:
    values = entry["values"] if "values" in entry else [entry["value"]]
    points = ((datetime.fromtimestamp(float(at), UTC), float(text)) for at, text in values)
    labels = entry["metric"]
    return Series(named(legend, labels), labels, tuple(p for p in points if p[1] == p[1]))
