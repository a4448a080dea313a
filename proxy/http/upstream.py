"""The way to the provider: one connection pool, and aiohttp's errors translated once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

import aiohttp
from aiohttp.connector import Connection
from yarl import URL

from proxy.errors import ProxyError, UpstreamError, UpstreamTimeout
from proxy.http.wire import Answer, Body, Destination, RelayProtocol, exchange, pool
from serving.connection import take_rest
from serving.service import system_reason

SHARE = 0.5
"""Of the age at which a connection was ended, up to which others are used."""

BELIEVED_SECONDS = 60.0
"""How long one end is believed: a provider that was just restarted ends all of any age."""


class IdleLife:
    """What was seen of one provider.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._most = 0.0
        self._until = 0.0

    def ended(self, idle: float) -> None:
        """The provider ended a connection that had been idle for so many seconds, without a word before."""
        now = self._clock()
        if now >= self._until or idle * SHARE <= self._most:
            self._most, self._until = idle * SHARE, now + BELIEVED_SECONDS

    def allows(self, idle: float) -> bool:
        """Whether a connection that has been idle for so long may be used."""
        return idle < self._most or self._clock() >= self._until


_MAX_HEADER = 64 * 1024
_READ_SIZE = 64 * 1024
_BODILESS = frozenset({"HEAD"})
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: `connect` for reaching the provider, `idle` for its silence in between bytes."""

    connect: float
    idle: float


_VERSION = re.compile(r"/v\d+[a-z]*(?:/|$)")


def base_url(configured: str, *, exact: bool = False) -> str:
    """The provider's base with its version segment: `https://host` and `https://host/v1` are the same. One
    that has a version anywhere in its path (`/v1beta/openai`) stays as it is.

    Args:
        exact: whatever its path, nothing is put behind it.
    """
    configured = configured.rstrip("/")
    path = urlsplit(configured).path
    return configured if exact or _VERSION.search(path) else f"{configured}/v1"


class LeftUnsent(asyncio.CancelledError):
    """The caller left before there was a connection to the provider: nothing was asked."""


class Upstream:
    """One provider.

    Args:
        base: scheme, host and the path that goes before every target.
    """

    def __init__(self, base: str, limits: Limits) -> None:
        self.base = base
        url = URL(base)
        self._destination = Destination(url)
        self._prefix = url.raw_path.rstrip("/").encode()
        self.host = url.host_port_subcomponent or ""
        self._host_line = b"Host: " + self.host.encode()
        self._idle_life = IdleLife()
        self._connector = pool(self._idle_life.ended)
        self._timeout = aiohttp.ClientTimeout(total=None, connect=limits.connect)
        self._idle = limits.idle

    async def close(self) -> None:
        """Close all connections."""
        await self._connector.close()

    async def send(
        self, method: str, target: str, lines: Sequence[bytes], body: Body, length: int | None = None
    ) -> Answer:
        """Send a request; returns when the answer's head has arrived.

        Args:
            target: path behind the base, and query, as the client wrote them.
            lines: raw header lines, without Host and without framing.
            length: of a body that is passed on as it comes; None sends it in chunks.
        Raises: UpstreamError, UpstreamTimeout; what a passing body raises.
        """
        chunked = False
        framing: tuple[bytes, ...] = ()
        if isinstance(body, bytes):
            framing = (b"Content-Length: %d" % len(body),)
        elif body is not None and length is not None:
            framing = (b"Content-Length: %d" % length,)
        elif body is not None:
            chunked, framing = True, (b"Transfer-Encoding: chunked",)
        path = self._prefix + target.encode("utf-8", "surrogateescape")
        start = b"%b %b HTTP/1.1" % (method.encode(), path)
        head = b"\r\n".join((start, self._host_line, *lines, *framing, b"\r\n"))
        try:
            connection, protocol = await self._connect(method)
            was_reused = protocol.reused
            try:
                return await exchange(connection, head, body, chunked=chunked, idle=self._idle)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if not was_reused or not (
                    _is_harmless(method, body, lines) or _took_too_little(protocol, body)
                ):
                    raise
            connection, _ = await self._connect(method)
            return await exchange(connection, head, body, chunked=chunked, idle=self._idle)
        except (aiohttp.ClientError, aiohttp.http.HttpProcessingError, TimeoutError, OSError) as error:
            raise self._translated(error) from error

    async def read(self, answer: Answer) -> bytes:
        """The next bytes of an answer; empty at its end.

        Raises: UpstreamError, UpstreamTimeout.
        """
        if (rest := take_rest(answer.content)) is not None:
            return rest
        try:
            return await answer.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._translated(error) from error

    async def _connect(self, method: str) -> tuple[Connection, RelayProtocol]:
        """A connection, kept or new. One that the provider has ended, or is about to end, is not used:
        nothing has been sent on it, so that is safe for every request."""
        while True:
            try:
                connection = await self._connector.connect(self._destination, [], self._timeout)
            except TimeoutError as error:  # nothing was asked: it is no answer that did not come
                text = f"cannot reach {self.host}: no connection in time"
                raise UpstreamTimeout(text, "upstream_unreachable") from error
            except asyncio.CancelledError as error:
                raise LeftUnsent from error
            protocol = connection.protocol
            assert isinstance(protocol, RelayProtocol)
            if protocol.reused and (not self._idle_life.allows(protocol.idle) or protocol.is_stale):
                connection.close()
                continue
            protocol.set_response_params(
                skip_payload=method in _BODILESS,
                read_until_eof=True,
                auto_decompress=False,
                read_timeout=self._idle,
                read_bufsize=_READ_SIZE,
                max_line_size=_MAX_HEADER,
                max_field_size=_MAX_HEADER,
            )
            return connection, protocol

    def _translated(self, error: Exception) -> ProxyError:
        """A client library's error in our words."""
        if isinstance(error, TimeoutError):
            return UpstreamTimeout(f"{self.host} did not answer in time", "upstream_timeout")
        if isinstance(error, aiohttp.ClientConnectorError):
            return UpstreamError(f"cannot reach {self.host}: {_reason(error)}", "upstream_unreachable")
        return UpstreamError(f"{self.host} broke off: {_reason(error)}", "upstream_broken")


def _took_too_little(protocol: RelayProtocol, body: Body) -> bool:
    """Whether a request that can be sent again is known not to have been sent whole: nobody can have
    processed it."""
    return isinstance(body, bytes) and protocol.writing_paused and not protocol.heard


def _is_harmless(method: str, body: Body, lines: Sequence[bytes]) -> bool:
    """Whether a request may be sent again though it may have been processed: by its method, or because the
    caller says that the provider knows it again."""
    if body is None and method in _IDEMPOTENT:
        return True
    return isinstance(body, bytes) and any(line.lower().startswith(b"idempotency-key:") for line in lines)


def _reason(error: Exception) -> str:
    cause = getattr(error, "os_error", None) or error
    return system_reason(cause) if isinstance(cause, OSError) and cause.errno else type(error).__name__
