"""Requests to the provider on aiohttp's connections: the head goes out as raw bytes.

aiohttp keeps the pool, the TLS, the parser and the flow control. Its own request object would decode and
re-encode every header, and start a task for every body; here a request whose body is at hand is one write.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Callable
from functools import partial
from math import inf
from time import monotonic
from types import SimpleNamespace
from typing import cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey, RequestInfo
from aiohttp.connector import Connection
from aiohttp.helpers import TimerNoop
from aiohttp.http import RawResponseMessage, StreamWriter
from aiohttp.streams import StreamReader
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.errors import ProxyError
from serving.connection import Flow

Body = bytes | AsyncIterator[bytes] | None

MAX_INTERIM = 100
"""Answers like 103 before the answer: a provider that never stops sending them would keep the loop busy."""

_NO_TIMER = TimerNoop()
_NO_WRITER = cast(StreamWriter, SimpleNamespace(output_size=0))
"""Of a request that is sent: a response asks it how much that was."""

_NO_HEADERS: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict())


class RelayProtocol(Flow, ResponseHandler):
    """A connection that tells a body's reader what happened to it, and a sender what it may send again.

    aiohttp's own leaves the reader of a malformed chunk waiting, and takes a reset for the end of a body
    that has no length.

    Args:
        ended: is told when the provider ends it while it lies idle, and for how many seconds it had.
    Attributes:
        reused: it has carried a request before.
        heard: something has come since the last request began.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ended: Callable[[float], None]) -> None:
        super().__init__(loop)
        self.reused = False
        self.heard = False
        self._ended = ended
        self._heard_at = 0.0
        self._idle: float | None = None
        self._poll: select.poll | None = None
        self._interim = 0
        self._deadline = inf
        self._sent = False
        self._unanswered = False

    @property
    def is_stale(self) -> bool:
        """Whether the provider has ended it, or said something unasked, while it lay idle: also where the
        loop has not noticed yet."""
        if self.transport is None or self.transport.is_closing() or self.exception() is not None:
            return True
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    @property
    def idle(self) -> float:
        """Seconds since something has come."""
        return monotonic() - self._heard_at

    def _reschedule_timeout(self) -> None:
        """Begin to wait. aiohttp's own makes a timer for every chunk and cancels it; here one timer looks
        now and then how long nothing has come."""
        if self._read_timeout:
            self._deadline = self._loop.time() + self._read_timeout
            if self._read_timeout_handle is None:
                self._read_timeout_handle = self._loop.call_later(self._read_timeout, self._look)

    def _drop_timeout(self) -> None:
        self._deadline = inf

    def _look(self) -> None:
        self._read_timeout_handle = None
        left = self._deadline - self._loop.time()
        if left <= 0:
            self._on_read_timeout()
        elif left < inf:
            self._read_timeout_handle = self._loop.call_later(left, self._look)

    def begin(self) -> None:
        """A request begins."""
        self._idle = self.idle if self.reused else None
        self.reused, self.heard, self._interim = True, False, 0
        self._sent = self._unanswered = False
        self._drop_timeout()  # a long upload is no silence of the provider

    def start_timeout(self) -> None:
        """The request is sent: an answer must come."""
        self._sent = True
        self._reschedule_timeout()

    def data_received(self, data: bytes) -> None:
        self.heard = True
        self._heard_at = monotonic()
        super().data_received(data)
        if self._unanswered and self._sent and self.exception() is None:
            self._reschedule_timeout()  # aiohttp takes 103 for the answer, and waits for no other

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused:
            super().resume_reading(resume_parser)
            if self._payload is not None and self._payload.is_eof():
                self._drop_timeout()  # the rest had come before: nothing is awaited

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        self._unanswered = data[0].code < 200 and data[0].code != 101
        self._interim += data[0].code < 200
        if self._interim <= MAX_INTERIM:
            super().feed_data(data, size)
        elif self.exception() is None:
            self._buffer.clear()
            self.set_exception(aiohttp.ClientPayloadError("there is no end of interim answers"))
            if self.transport is not None:
                self.transport.close()

    def eof_received(self) -> None:
        self._learn()
        super().eof_received()

    def _learn(self) -> None:
        """The provider ends it: tell for how long it was idle, or had been when the request began on it."""
        if self.heard and (self._payload is None or self._payload.is_eof()):
            self._ended(self.idle)
        elif not self.heard and self._idle is not None:
            self._ended(self._idle)

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        super().set_exception(exc, *(() if exc_cause is None else (exc_cause,)))
        self._break_body(exc)

    def connection_lost(self, exc: BaseException | None) -> None:
        if exc is not None:
            self._learn()
            self._break_body(exc)
        if self._read_timeout_handle is not None:
            self._read_timeout_handle.cancel()
            self._read_timeout_handle = None
        super().connection_lost(exc)

    def _break_body(self, exc: BaseException) -> None:
        payload = self._payload
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            late = isinstance(exc, TimeoutError)
            payload.set_exception(exc if late else aiohttp.ClientPayloadError(f"the body broke off: {exc!r}"))


def pool(ended: Callable[[float], None]) -> aiohttp.TCPConnector:
    """A pool of these connections."""
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=300)
    connector._factory = partial(RelayProtocol, asyncio.get_running_loop(), ended)  # type: ignore[assignment]
    return connector


class RelayRequest(ClientRequest):
    """One request.

    Args:
        url: the provider's base; for the connection alone, the target stands in `head`.
        key: the connection pool's key of this provider, made once.
        head: request line and headers with the blank line behind them.
        chunked: how an iterator's chunks are framed.
        idle: seconds that the provider may leave a body unread.
    """

    headers = _NO_HEADERS  # type: ignore[assignment]  # the pool asks only a proxy's for them
    proxy = proxy_auth = proxy_headers = None
    server_hostname = None
    _ssl = True

    def __init__(
        self,
        method: str,
        url: URL,
        key: ConnectionKey,
        head: bytes,
        body: Body,
        *,
        chunked: bool,
        idle: float,
    ) -> None:
        self.method = method
        self.url = self.original_url = url
        self.loop = asyncio.get_running_loop()
        self._key = key
        self._head = head
        self._content = body
        self._in_chunks = chunked
        self._idle = idle

    @property
    def connection_key(self) -> ConnectionKey:
        """The pool's key."""
        return self._key

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Write the request, or begin to; the answer is read from the response that is returned."""
        protocol = conn.protocol
        if protocol is None or protocol.transport is None:
            raise aiohttp.ServerDisconnectedError
        assert isinstance(protocol, RelayProtocol)
        protocol.begin()
        task = None
        body = self._content
        if body is None or isinstance(body, bytes):
            protocol.transport.write(self._head + body if body else self._head)
            protocol.start_timeout()
        else:
            task = self.loop.create_task(self._stream(conn, body))
        return aiohttp.ClientResponse(
            self.method,
            self.url,
            writer=task,
            continue100=None,
            timer=_NO_TIMER,
            request_info=RequestInfo(self.url, self.method, _NO_HEADERS, self.url),
            traces=[],
            loop=self.loop,
            session=None,  # type: ignore[arg-type]  # aiohttp allows it: nothing here asks for a charset
            stream_writer=_NO_WRITER if task is None else StreamWriter(protocol, self.loop),
        )

    async def _stream(self, conn: Connection, chunks: AsyncIterator[bytes]) -> None:
        """Write a body as it comes. When it breaks off, so does the connection: the provider must not
        take it for complete."""
        protocol = conn.protocol
        assert isinstance(protocol, RelayProtocol)
        try:
            self._write(conn, self._head)
            async for chunk in chunks:
                self._write(conn, b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._in_chunks else chunk)
                if protocol.writing_paused:
                    async with asyncio.timeout(self._idle):
                        await protocol.drain()
            if self._in_chunks:
                self._write(conn, b"0\r\n\r\n")
            protocol.start_timeout()
        except (ProxyError, aiohttp.ClientError) as error:
            protocol.set_exception(error)
            conn.close()
        except TimeoutError:
            protocol.set_exception(aiohttp.SocketTimeoutError("the upload is not read"))
            conn.close()
        except OSError as error:
            protocol.set_exception(aiohttp.ClientOSError(*error.args))
            conn.close()
        except BaseException:
            conn.close()
            raise

    def _write(self, conn: Connection, data: bytes) -> None:
        transport = conn.protocol.transport if conn.protocol is not None else None
        if transport is None or transport.is_closing():
            raise aiohttp.ServerDisconnectedError
        transport.write(data)
