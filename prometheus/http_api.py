"""Prometheus' HTTP API, as far as pictures and the clean-up of series need it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from prometheus.errors import ApiError
from settings.urls import is_http

TIMEOUT_SECONDS = 120
Labels = Mapping[str, str]


def checked(url: str, option: str = "--prometheus") -> str:
    """An address that an option gives. Raises: ApiError where it is none."""
    if not is_http(url):
        raise ApiError(f"{option} {url}: allowed: an address like http(s)://HOST:PORT")
    return url


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus.

    Attributes:
        url: its address, with the path that it is served under.
    Every method raises ApiError.
    """

    url: str

    def query(self, expr: str, at: float) -> list[Any]:
        """The series of an instant query at a moment, in seconds since 1970."""
        found: list[Any] = self.ask("query", query=expr, time=at)["result"]
        return found

    def query_range(self, expr: str, start: float, end: float, step: float) -> list[Any]:
        """The series of a range query; the step is in seconds."""
        found: list[Any] = self.ask("query_range", query=expr, start=start, end=end, step=step)["result"]
        return found

    def series(self, matcher: str, start: float, end: float) -> list[Labels]:
        """Labels of all series that the index knows, whether or not they still have samples."""
        found: list[Labels] = self.ask("series", **{"match[]": matcher}, start=start, end=end)
        return found

    def ask(self, what: str, **parameters: object) -> Any:
        answer = self.send(what, **parameters)
        try:
            return json.loads(answer)["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise ApiError(f"{self.url}: does not answer like a Prometheus") from error

    def send(self, what: str, **parameters: object) -> bytes:
        """The body of an answer. Queries are sent as forms: they may be longer than an address."""
        address = f"{checked(self.url).rstrip('/')}/api/v1/{what}"
        form = None if what.startswith("status/") else urlencode(parameters).encode()
        try:
            with urllib.request.urlopen(address, form, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                body: bytes = answer.read()
        except urllib.error.HTTPError as error:
            raise ApiError(f"{self.url}: {what} is refused: {_reason(error)}") from error
        except (OSError, ValueError) as error:
            cause = getattr(error, "reason", error)
            reason = getattr(cause, "strerror", None) or cause
            raise ApiError(
                f"{self.url}: cannot be reached: {reason}; is Prometheus running there?"
            ) from error
        return body


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError, OSError):
        return f"HTTP {error.code}"
