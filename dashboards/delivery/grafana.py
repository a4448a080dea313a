"""A running Grafana over its HTTP API; grafana-client stays behind this module."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

from grafana_client.api import GrafanaApi
from grafana_client.client import (
    GrafanaClientError,
    GrafanaException,
    GrafanaServerError,
    GrafanaTimeoutError,
    GrafanaUnauthorizedError,
)
from niquests.exceptions import RequestException

from dashboards.errors import GrafanaError
from dashboards.kit.plain import Json

TIMEOUT_SECONDS = 20.0
PAGE = 500
"""Dashboards in one answer of a search."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stored:
    """A dashboard as Grafana has it.

    Attributes:
        folder: the uid of its folder; "" where it lies in none.
        provisioned: it comes from a file, so the API cannot change it.
    """

    dashboard: Json
    folder: str
    provisioned: bool


@dataclass(frozen=True, slots=True)
class Retries:
    """When to ask again: after a server's error, a timeout or a broken connection, and when told to wait.

    Attributes:
        waits: seconds before each further try.
    """

    waits: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    sleep: Callable[[float], None] = field(default=time.sleep)


class Grafana:
    """The part of Grafana's API that delivery needs. Every method raises GrafanaError."""

    def __init__(self, url: str, token: str, retries: Retries | None = None) -> None:
        # With the slash at the end, an address below a path keeps that path.
        self._url, self._retries = url, retries or Retries()
        self._api: Any = GrafanaApi.from_url(f"{url}/", credential=token, timeout=TIMEOUT_SECONDS)

    def close(self) -> None:
        self._api.client.s.close()

    def version(self) -> str:
        """Like `12.3.1`."""
        about: Json | None = self._ask(self._api.health.check)
        return str((about or {}).get("version", "unknown"))

    def folder_title(self, uid: str) -> str | None:
        """The title of a folder; None where there is none, or where this token may not see it: Grafana denies
        an Editor access to a folder that does not exist."""
        found = self._ask(lambda: self._api.folder.get_folder(uid), absent=(403, 404))
        return None if found is None else str(found["title"])

    def create_folder(self, uid: str, title: str) -> None:
        """A folder at the top; one of that uid that already exists stays as it is."""
        self._ask(lambda: self._api.folder.create_folder(title, uid=uid), absent=(409, 412))

    def rename_folder(self, uid: str, title: str) -> None:
        self._ask(lambda: self._api.folder.update_folder(uid, title=title, overwrite=True))

    def dashboard(self, uid: str) -> Stored | None:
        """A dashboard; None where there is none.

        While a token has a right to no dashboard, Grafana denies access to one that does not exist, too: then
        only a write tells.
        """
        found = self._ask(lambda: self._api.dashboard.get_dashboard(uid), absent=(403, 404))
        if found is None:
            return None
        meta = found.get("meta", {})
        return Stored(found["dashboard"], meta.get("folderUid", ""), bool(meta.get("provisioned")))

    def save(self, dashboard: Json, folder: str, message: str) -> None:
        payload = {"dashboard": dashboard, "folderUid": folder, "overwrite": True, "message": message}
        self._ask(lambda: self._api.dashboard.update_dashboard(payload), what=f"dashboard {dashboard['uid']}")

    def delete(self, uid: str) -> None:
        """Remove a dashboard; where there is none, which Grafana says by 403, nothing is left to do."""
        self._ask(lambda: self._api.dashboard.delete_dashboard(uid), absent=(403, 404))

    def tagged(self, tag: str, folder: str) -> dict[str, str]:
        """The titles of the dashboards in a folder that carry a tag, by uid."""
        found: dict[str, str] = {}
        for page in count(1):
            some = self._search(tag, page)
            found |= {entry["uid"]: entry["title"] for entry in some if entry.get("folderUid") == folder}
            if len(some) < PAGE:
                break
        return found

    def _search(self, tag: str, page: int) -> list[Json]:
        asked = {"tag": tag, "type_": "dash-db", "limit": PAGE, "page": page}
        found: list[Json] | None = self._ask(lambda: self._api.search.search_dashboards(**asked))
        return found or []

    def _ask(self, call: Callable[[], T], *, absent: tuple[int, ...] = (), what: str = "") -> T | None:
        """One call, tried again where that may help.

        Args:
            absent: status codes that are answered with None; without them they are errors.
            what: what the call is about, for errors.
        """
        for wait in (*self._retries.waits, None):
            try:
                return call()
            except GrafanaClientError as error:
                if error.status_code in absent:
                    return None
                if error.status_code != 429 or wait is None:
                    raise GrafanaError(self._refused(error, what)) from error
            except (GrafanaServerError, GrafanaTimeoutError, RequestException) as error:
                if wait is None:
                    raise GrafanaError(f"{self._url}: {_reason(error)}") from error
            except (GrafanaException, ValueError, KeyError, TypeError) as error:
                raise GrafanaError(f"{self._url}: does not answer like a Grafana") from error
            self._retries.sleep(wait)
        raise AssertionError("unreachable")

    def _refused(self, error: GrafanaClientError, what: str) -> str:
        where = f"{self._url}: {what}: " if what else f"{self._url}: "
        if isinstance(error, GrafanaUnauthorizedError) or error.status_code == 403:
            return (
                f"{where}refuses the token (HTTP {error.status_code}): GRAFANA_TOKEN must be a service "
                "account's, with the role Editor"
            )
        return f"{where}{_reason(error)}"


def _reason(error: Exception) -> str:
    """Why, in Grafana's words or the system's; libraries wrap those in their own objects."""
    if isinstance(error, GrafanaException):
        return " ".join(str(error.message).split())[:300]
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return f"cannot be reached: {cause.strerror}"
        cause = cause.__cause__ or cause.__context__
    found = re.search(r"\[Errno -?\d+\] ([^\"')]+)", str(error))
    return f"cannot be reached: {found[1].strip() if found else type(error).__name__}"
