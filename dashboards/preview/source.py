"""Asking a Prometheus over its HTTP API."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit

from dashboards.errors import SourceError
from dashboards.preview.grafana_time import Ask

TIMEOUT_SECONDS = 60.0


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
        """The newest value."""
        return self.points[-1][1]


def fetch(url: str, ask: Ask) -> list[Series]:
    """What Prometheus answers, in its order; values that are no number are left out.

    Args:
        url: of the server, like `http://127.0.0.1:9090`.
    Raises: SourceError.
    """
    path, form = _request(ask)
    data = _post(f"{url.rstrip('/')}/api/v1/{path}", form)
    if data["resultType"] not in ("matrix", "vector"):
        raise SourceError(f"{ask.expr}: answers with a {data['resultType']}, which no panel shows")
    series = (_series(entry, ask.legend) for entry in data["result"])
    return [one for one in series if one.points]


def checked(url: str) -> str:
    """The URL, if it is one.

    Raises: SourceError.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SourceError(f"{url!r}: allowed: a URL like http://127.0.0.1:9090")
    return url


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


def _post(url: str, form: Mapping[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(checked(url), urlencode(form).encode())  # noqa: S310  (checked)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            data: dict[str, Any] = json.load(answer)["data"]
            return data
    except HTTPError as error:
        raise SourceError(f"{url}: {_refusal(error)}: {form['query']}") from error
    except OSError as error:
        raise SourceError(f"{url}: cannot be reached: {getattr(error, 'reason', error)}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{url}: does not answer like a Prometheus") from error


def _refusal(error: HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {error.code}"


def _series(entry: Mapping[str, Any], legend: str) -> Series:
    values = entry["values"] if "values" in entry else [entry["value"]]
    points = ((datetime.fromtimestamp(float(at), UTC), float(text)) for at, text in values)
    labels = entry["metric"]
    return Series(named(legend, labels), labels, tuple(p for p in points if p[1] == p[1]))
