"""Prometheus' HTTP API, as far as the tasks need it; the room's only network edge."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from runbooks.errors import ServerError

TIMEOUT_SECONDS = 120
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus.

    Attributes:
        url: its address, like http://127.0.0.1:9090, with the path that it is served under.
    Every method raises ServerError.
    """

    url: str

    def query(self, expr: str, at: float) -> list[Any]:
        """The series of an instant query at a moment, in seconds since 1970."""
        found: list[Any] = self._ask("query", query=expr, time=at)["result"]
        return found

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[Any]:
        """The series of a range query; the step is in seconds."""
        found: list[Any] = self._ask("query_range", query=expr, start=start, end=end, step=step)["result"]
        return found

    def series(self, matcher: str, start: float, end: float) -> list[Labels]:
        """Labels of all series that the index knows, whether or not they still have samples."""
        found: list[Labels] = self._ask("series", **{"match[]": matcher}, start=start, end=end)
        return found

    def flags(self) -> Mapping[str, str]:
        """The command line, by flag."""
        found: Mapping[str, str] = self._ask("status/flags")
        return found

    def config(self) -> str:
        """The configuration that is loaded, as YAML."""
        return str(self._ask("status/config")["yaml"])

    def delete_series(self, matcher: str) -> None:
        """Mark all samples of the matching series as deleted."""
        self._send("POST", "admin/tsdb/delete_series", {"match[]": matcher})

    def clean_tombstones(self) -> None:
        """Rewrite the blocks without what is marked."""
        self._send("POST", "admin/tsdb/clean_tombstones", {})

    def _ask(self, what: str, **parameters: object) -> Any:
        answer = self._send("GET", what, parameters)
        try:
            return json.loads(answer)["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise ServerError(f"{self.url}: does not answer like a Prometheus") from error

    def _send(self, method: str, what: str, parameters: Mapping[str, object]) -> bytes:
        address = f"{self.url.rstrip('/')}/api/v1/{what}?{urlencode(parameters)}"
        request = urllib.request.Request(address, method=method)  # noqa: S310  (checked by server())
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                body: bytes = answer.read()
        except urllib.error.HTTPError as error:
            raise ServerError(f"{self.url}: {what} is refused: {_reason(error)}") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise ServerError(f"{self.url}: no answer: {reason}; is Prometheus running there?") from error
        return body


def server(url: str) -> Prometheus:
    """A Prometheus by its address.

    Raises: ServerError where this is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ServerError(f"--prometheus {url}: allowed: an address like http://127.0.0.1:9090")
    return Prometheus(url)


def labels_of(series: Sequence[Any]) -> list[Labels]:
    """The labels of a query's answers."""
    return [one["metric"] for one in series]


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except (ValueError, KeyError, TypeError, OSError):
        return f"HTTP {error.code}"
