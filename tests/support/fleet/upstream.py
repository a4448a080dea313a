"""A provider that knows its accounts by their keys, and keeps a log of who asked when and what was answered.

It answers responses and chat completions, refreshes the tokens of logins below `/oauth/token`, tells their
quota where Codex asks for it, and gives its log to whoever asks for `/log`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import time
from typing import Any

import msgspec
from aiohttp import web

from simulator.listening import listening
from simulator.provider import limits
from simulator.provider.fixed import encoded
from simulator.provider.limits import RateLimits, Window
from tests.support.fleet.accounts import Attendant, ProviderAccount, Said

STRANGER = "?"
"""Who asks with a key that no account has."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One request for generation.

    Attributes:
        request_id: the caller's `x-client-request-id`.
        asked_at, answered_at: epoch seconds.
        code: of an error.
        away_until: epoch seconds before which nobody who has read the answer should ask the account again.
    """

    request_id: str
    account: str
    asked_at: float
    answered_at: float
    status: int
    code: str | None
    away_until: float


@dataclass(frozen=True, slots=True)
class Refresh:
    """One question for a new token."""

    account: str
    granted: bool


@dataclass(frozen=True, slots=True)
class Book:
    """The whole log, each part in the order of time."""

    entries: tuple[Entry, ...]
    refreshes: tuple[Refresh, ...]


class AccountsUpstream:
    """A running provider. `origin` is its `http://HOST:PORT`."""

    def __init__(self, accounts: Iterable[ProviderAccount]) -> None:
        self.origin = ""
        self.attendants = {account.id: Attendant(account) for account in accounts}
        self._entries: list[Entry] = []
        self._refreshes: list[Refresh] = []
        self._answers = encoded(events=10)

    @property
    def book(self) -> Book:
        """What was asked and answered so far."""
        return Book(tuple(self._entries), tuple(self._refreshes))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer whatever comes."""
        if request.path == "/log":
            return web.Response(body=msgspec.json.encode(self.book))
        if request.path == "/oauth/token":
            return self._refresh(json.loads(await request.read()))
        if request.path == "/backend-api/wham/usage":
            return self._usage(_bearer(request))
        return await self._generate(request)

    async def _generate(self, request: web.BaseRequest) -> web.StreamResponse:
        asked_at = time()
        token, body = _bearer(request), await request.read()
        attendant = self._attendant(token, "sk")
        said = Said(401, "invalid_api_key", "Incorrect API key.")
        if attendant is not None:
            said = attendant.attend(token, time())
        answer = self._answers.get(request.path)
        if answer is None:
            return web.Response(status=404)
        entry = Entry(
            request_id=request.headers.get("x-client-request-id", ""),
            account=attendant.account.id if attendant else STRANGER,
            asked_at=asked_at,
            answered_at=time(),
            status=said.status,
            code=said.code,
            away_until=said.away_until,
        )
        self._entries.append(entry)
        if said.status != 200:
            return web.Response(
                status=said.status, body=_error(said), headers=_headers("application/json", said)
            )
        if b'"stream":true' in body:
            events = b"".join(answer.stream)
            return web.Response(body=events, headers=_headers("text/event-stream", said))
        return web.Response(body=answer.whole, headers=_headers("application/json", said))

    def _refresh(self, asked: Mapping[str, Any]) -> web.Response:
        old = str(asked.get("refresh_token"))
        attendant = self._attendant(old, "rt")
        new = attendant.refresh(old) if attendant else None
        self._refreshes.append(Refresh(attendant.account.id if attendant else STRANGER, new is not None))
        if attendant is None or new is None:
            return web.json_response({"error": {"code": "refresh_token_expired"}}, status=401)
        return web.json_response({"access_token": new, "refresh_token": attendant.refresh_token})

    def _usage(self, token: str) -> web.Response:
        attendant = self._attendant(token, "sk")
        if attendant is None:
            return web.Response(status=401)
        told = attendant.windows(time())
        return web.json_response({"plan_type": attendant.account.plan, "rate_limit": _polled(told)})

    def _attendant(self, token: str, kind: str) -> Attendant | None:
        """Who attends to the account of a token, old or new."""
        name, _, number = token.removeprefix(f"{kind}-simulated-").rpartition("-")
        return self.attendants.get(name) if number.isdigit() else None


@asynccontextmanager
async def serve_accounts(
    accounts: Iterable[ProviderAccount], *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[AccountsUpstream]:
    """A provider that runs in this loop until the block is left.

    Raises: OutputError where the address cannot be used.
    """
    upstream = AccountsUpstream(accounts)
    runner = web.ServerRunner(web.Server(upstream.handle, access_log=None), shutdown_timeout=1.0)
    async with listening(runner, host, port) as upstream.origin:
        yield upstream


def read_book(body: bytes) -> Book:
    """What `/log` answers."""
    return msgspec.json.decode(body, type=Book)


def _bearer(request: web.BaseRequest) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


def _headers(content: str, said: Said) -> dict[str, str]:
    return {"Content-Type": content, **dict(limits.headers(said.limits) if said.limits else ())}


def _error(said: Said) -> bytes:
    error: dict[str, Any] = {"code": said.code, "type": said.code, "message": said.message}
    if said.resets_at is not None:
        error["resets_at"] = said.resets_at
    return json.dumps({"error": error}).encode()


def _polled(told: RateLimits) -> dict[str, Any]:
    return {"primary_window": _window(told.primary), "secondary_window": _window(told.secondary)}


def _window(window: Window | None) -> dict[str, Any] | None:
    if window is None:
        return None
    seconds = window.window_minutes * 60
    return {"used_percent": window.used_percent, "limit_window_seconds": seconds, "reset_at": window.reset_at}
