"""A gateway's HTTP side: its version and settings, its accounts and their counters, the queue by HTTP."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from collector.errors import (
    AnswerLost,
    Banned,
    GatewayError,
    HomeMode,
    LoginRefused,
    ManagementOff,
    NotRedis,
    TooOld,
    Unreachable,
)
from collector.transport.login import Login, refusal
from collector.transport.resp import CONNECT_SECONDS, Connection, ErrorReply

OLDEST = (6, 10, 8)
"""The first version that has the queue."""

DEFAULT_RETENTION = 60.0
ANSWER_SECONDS = 30.0
MAX_ANSWER = 64 * 2**20
MAX_COMPLAINT = 2_000
MAX_EVENTS = 20_000
"""Of one answer, forty times what is asked for: a longer one is taken for a fault, and its rest for lost."""

_BASE = "/v0/management"
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a gateway says of itself.

    Attributes:
        version: as it says it; None where it does not.
        publishing: whether usage statistics are switched on; None: it did not say.
        retention: seconds that its queue keeps an event.
    """

    version: str | None
    publishing: bool | None
    retention: float


@dataclass(frozen=True, slots=True)
class Credential:
    """One of a gateway's accounts, as its list shows it."""

    auth_index: str
    name: str
    email: str = ""
    plan: str = ""
    disabled: bool = False
    unavailable: bool = False


class Management:
    """The HTTP side of one gateway. `close` it at the end."""

    def __init__(self, url: str, login: Login, gateway: str, tls: ssl.SSLContext | None = None) -> None:
        self.url = url
        self._login = login
        self._gateway = gateway
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def facts(self) -> Facts:
        """Version and settings. Raises: GatewayError."""
        document, headers = await self._get(f"{_BASE}/config")
        version = headers.get("X-CPA-VERSION") or None
        check_version(version)
        settings = document if isinstance(document, dict) else {}
        enabled = settings.get("usage-statistics-enabled")
        retention = settings.get("redis-usage-queue-retention-seconds")
        known = isinstance(retention, int | float) and not isinstance(retention, bool) and retention > 0
        return Facts(
            version,
            enabled if isinstance(enabled, bool) else None,
            min(3_600.0, float(retention)) if known else DEFAULT_RETENTION,  # type: ignore[arg-type]
        )

    async def credentials(self) -> tuple[Credential, ...]:
        """The accounts of the gateway that have a file. Raises: GatewayError."""
        document, _ = await self._get(f"{_BASE}/auth-files")
        files = document.get("files") if isinstance(document, dict) else None
        found = (_credential(entry) for entry in files or () if isinstance(entry, dict))
        return tuple(credential for credential in found if credential is not None)

    async def counted(self) -> int:
        """Attempts that the gateway has counted since its start, on all accounts. Raises: GatewayError."""
        files, _ = await self._get(f"{_BASE}/auth-files")
        keys, _ = await self._get(f"{_BASE}/api-key-usage")
        return _total(files) + _total(keys)

    async def pop(self, count: int) -> list[bytes]:
        """Take the oldest events. Raises: AnswerLost, with those that had come whole; GatewayError."""
        async with self._request(f"{_BASE}/usage-queue?count={count}", pops=True) as response:
            body = bytearray()
            try:
                await _read(response, body)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                salvaged = await asyncio.to_thread(split_array, bytes(body))
                raise AnswerLost(f"the answer broke off: {error}", salvaged) from error
            return await asyncio.to_thread(split_array, bytes(body), whole=True)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _get(self, path: str) -> tuple[Any, Mapping[str, str]]:
        async with self._request(path) as response:
            body = bytearray()
            try:
                await _read(response, body)
                return await asyncio.to_thread(json.loads, bytes(body)), response.headers
            except (ValueError, RecursionError) as error:
                raise Unreachable(f"{self.url}{path} was not answered with JSON") from error
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise Unreachable(f"{self.url}: {error}") from error

    def _request(self, path: str, *, pops: bool = False) -> _Request:
        return _Request(self, path, pops)

    async def _send(self, path: str, pops: bool) -> aiohttp.ClientResponse:
        """Ask with the key; one request at a time until the gateway is known to take it."""
        async with self._login.lock:
            key = await self._login.key()
            try:
                response = await self._client().get(
                    self.url + path, headers={"Authorization": f"Bearer {key}"}, allow_redirects=False
                )
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                text = f"{self.url}: {error or type(error).__name__}"
                if pops and not isinstance(error, aiohttp.ClientConnectorError):
                    raise AnswerLost(text) from error  # it was sent, and may have taken events along
                refused = isinstance(getattr(error, "os_error", None), ConnectionRefusedError)
                raise Unreachable(text, refused=refused) from error
            if response.status == 200:
                await self._login.accepted()
                return response
            complaint = await self._complaint(response, path)
            if isinstance(complaint, LoginRefused | Banned):
                await self._login.refused(key, complaint)
            raise complaint

    async def _complaint(self, response: aiohttp.ClientResponse, path: str) -> GatewayError:
        body = bytearray()
        with suppress(aiohttp.ClientError, TimeoutError, OSError):
            await _read(response, body)
        text = body[:MAX_COMPLAINT].decode("utf-8", "replace")
        response.release()
        if response.status in (401, 403):
            return refusal(text, self._gateway)
        if response.status == 404:
            if path.startswith(f"{_BASE}/config"):
                return await self._why_not_there()
            return TooOld(_too_old(response.headers.get("X-CPA-VERSION")))
        return Unreachable(f"{self.url}{path.partition('?')[0]} answers {response.status}")

    async def _why_not_there(self) -> GatewayError:
        """Home mode and a missing secret look the same by HTTP. One byte of RESP tells them apart: it is no
        command, and so no wrong key."""
        parts = urlsplit(self.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            connection = await Connection.open(parts.hostname or "", port, self._tls)
        except GatewayError as error:
            return error
        try:
            answer = await connection.call(seconds=2)
        except (GatewayError, NotRedis):
            answer = None
        finally:
            connection.close()
        if isinstance(answer, ErrorReply) and "home mode" in answer.text:
            return HomeMode("this node is governed by a Home, which publishes in its place: collect there")
        return ManagementOff(
            "the gateway has no /v0/management: set remote-management.secret-key, or collect from its Home"
        )

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS)
            connector = aiohttp.TCPConnector(ssl=self._tls if self._tls is not None else True, limit=4)
            self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        return self._session


class _Request:
    """`async with` around one answer."""

    def __init__(self, owner: Management, path: str, pops: bool) -> None:
        self._owner = owner
        self._path = path
        self._pops = pops
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> aiohttp.ClientResponse:
        self._response = await self._owner._send(self._path, self._pops)
        return self._response

    async def __aexit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.release()


async def _read(response: aiohttp.ClientResponse, body: bytearray) -> None:
    """Read an answer to its end. Raises: ClientError, also for one that is longer than any in good faith."""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER:
            response.close()
            raise aiohttp.ClientPayloadError(f"it is longer than {MAX_ANSWER} bytes")


def check_version(version: str | None) -> None:
    """Raises: TooOld. A version that says nothing is given the benefit of the doubt."""
    found = _VERSION.match(version or "")
    if found and tuple(map(int, found.groups())) < OLDEST:
        raise TooOld(_too_old(version))


def split_array(body: bytes, *, whole: bool = False) -> list[bytes]:
    """The elements of a JSON array as their own bytes; of one that breaks off, or has more than any in good
    faith, those that are complete.

    Args:
        whole: it has to be complete. Raises: Unreachable.
    """
    text = body.decode("utf-8", "replace")
    decoder, found = json.JSONDecoder(), list[bytes]()
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        if whole:
            raise Unreachable("usage-queue was not answered with an array")
        return []
    at = _skip(text, at + 1)
    while at < len(text) and text[at] != "]":
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        if end >= len(text) and not whole:
            break  # a number may go on
        if len(found) == MAX_EVENTS:
            break
        found.append((value if isinstance(value, str) else text[at:end]).encode())
        at = _skip(text, end)
        if text[at : at + 1] == ",":
            at = _skip(text, at + 1)
    if whole and text[at : at + 1] != "]":
        raise AnswerLost("usage-queue was answered with an array that breaks off", found)
    return found


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _too_old(version: str | None) -> str:
    oldest = ".".join(map(str, OLDEST))
    return (
        f"the gateway's version {version or '(unknown)'} has no usage queue; {oldest} is the first with one"
    )


def _credential(entry: Mapping[str, Any]) -> Credential | None:
    index = entry.get("auth_index")
    if not isinstance(index, str) or not index:
        return None
    claims = entry.get("id_token")
    plan = claims.get("plan_type") if isinstance(claims, dict) else None
    name, email = entry.get("name"), entry.get("email")
    return Credential(
        index,
        name if isinstance(name, str) else "",
        email if isinstance(email, str) else "",
        plan if isinstance(plan, str) else "",
        entry.get("disabled") is True,
        entry.get("unavailable") is True,
    )


def _total(document: Any) -> int:
    """All `success` and `failed` of a document, wherever they stand; not those of its short history."""
    if isinstance(document, list):
        return sum(map(_total, document))
    if not isinstance(document, dict):
        return 0
    own = (document.get(name) for name in ("success", "failed"))
    counted = sum(number for number in own if isinstance(number, int) and not isinstance(number, bool))
    return counted + sum(_total(value) for name, value in document.items() if name != "recent_requests")


async def pause(stop: asyncio.Event, seconds: float) -> bool:
    """Wait; True when it is time to stop."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
        return True
    except TimeoutError:
        return False
