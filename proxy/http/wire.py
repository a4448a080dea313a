"""Requests to the provider on aiohttp's connections: the head goes out as raw bytes.

aiohttp keeps the pool, the TLS, the parser and the flow control. Its own request object would decode and
re-encode every header, and start a task for every body; here a request whose body is at hand is one write,
and an answer what the parser has found.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Callable
from functools import partial
from math import inf
from time import monotonic

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.errors import ProxyError
from serving.connection import Flow

Body = bytes | AsyncIterator[bytes] | None

MAX_INTERIM = 100
"""Answers like 103 before the answer: a provider that never stops sending them would keep the loop busy."""

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
        at_rest: it was given back to the pool: what comes now is no answer to anybody.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ended: Callable[[float], None]) -> None:
        super().__init__(loop)
        self.reused = False
        self.heard = False
        self.at_rest = False
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
        self._sent = self._unanswered = self.at_rest = False
        self._drop_timeout()  # a long upload is no silence of the provider

    def start_timeout(self) -> None:
        """The request is sent: an answer must come."""
        self._sent = True
        self._reschedule_timeout()

    def data_received(self, data: bytes) -> None:
        if self.at_rest:
            self._learn()
            self._cut()
            return
        self.heard = True
        self._heard_at = monotonic()
        super().data_received(data)
        if self.at_rest and self._buffer:  # more stood behind the end of the answer
            self._cut()
        if self._unanswered and self._sent and self.exception() is None:
            self._reschedule_timeout()  # aiohttp takes 103 for the answer, and waits for no other

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused:
            super().resume_reading(resume_parser)
            if self._payload is not None and self._payload.is_eof():
                self._drop_timeout()  # the rest had come before: nothing is awaited

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        code = data[0].code
        self._unanswered = code < 200 and code != 101
        self._interim += code < 200
        if code >= 100 and self._interim <= MAX_INTERIM:
            super().feed_data(data, size)
        elif self.exception() is None:
            self._buffer.clear()
            fault = f"{code} is no status" if code < 100 else "there is no end of interim answers"
            self.set_exception(aiohttp.ClientPayloadError(fault))
            self._cut()

    def _cut(self) -> None:
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


class Destination(ClientRequest):
    """A provider, as the pool wants it: it asks a request where to connect to.

    Args:
        url: the provider's base.
    """

    headers = _NO_HEADERS  # type: ignore[assignment]  # the pool asks only a proxy's for them
    proxy = proxy_auth = proxy_headers = None
    server_hostname = None
    _ssl = True

    def __init__(self, url: URL) -> None:
        self.method = "GET"
        self.url = self.original_url = url
        self.loop = asyncio.get_running_loop()
        secure = url.scheme == "https"
        self._key = ConnectionKey(url.raw_host or "", url.port, secure, True, None, None, None, None)

    @property
    def connection_key(self) -> ConnectionKey:
        """The pool's key."""
        return self._key


class Answer:
    """A provider's answer: its head, and its body as it comes. With the body's end its connection goes back
    to the pool.

    Args:
        upload: sends what is left of the request.
    """

    __slots__ = ("_upload", "connection", "content", "headers", "raw_headers", "reason", "status")

    def __init__(
        self,
        message: RawResponseMessage,
        content: StreamReader,
        connection: Connection,
        upload: asyncio.Task[None] | None,
    ) -> None:
        self.status = message.code
        self.reason = message.reason
        self.headers = message.headers
        self.raw_headers = message.raw_headers
        self.content = content
        self.connection = connection
        self._upload = upload
        content.on_eof(self._complete)

    def _complete(self) -> None:
        protocol = self.connection.protocol
        if protocol is None or protocol.upgraded:
            return
        if self._upload is None or self._upload.done():
            assert isinstance(protocol, RelayProtocol)
            protocol.at_rest = True
            self.connection.release()
        else:  # the provider has answered, and wants no more of the request
            self._end()

    def close(self) -> None:
        """Let go of it; its connection is not used again."""
        if self.content.exception() is None:
            self.content.set_exception(aiohttp.ClientConnectionError("the answer was let go"))
        self._end()

    def _end(self) -> None:
        if self._upload is not None:
            self._upload.cancel()
        self.connection.close()


async def exchange(connection: Connection, head: bytes, body: Body, *, chunked: bool, idle: float) -> Answer:
    """Send a request and wait for the head of its answer. Raises: what aiohttp's client does; what a passing
    body raises.

    Args:
        head: request line and headers with the blank line behind them.
        chunked: how an iterator's chunks are framed.
        idle: seconds that the provider may leave a body unread.
    """
    protocol = connection.protocol
    assert isinstance(protocol, RelayProtocol)
    upload = None
    try:
        if protocol.transport is None:
            raise aiohttp.ServerDisconnectedError
        protocol.begin()
        if body is None or isinstance(body, bytes):
            protocol.transport.write(head + body if body else head)
            protocol.start_timeout()
        else:
            upload = asyncio.create_task(_stream(connection, protocol, head, body, chunked, idle))
        while True:
            message, content = await protocol.read()
            if message.code >= 200 or message.code == 101:
                return Answer(message, content, connection, upload)
    except BaseException:
        if upload is not None:
            upload.cancel()
        connection.close()
        raise


async def _stream(
    connection: Connection,
    protocol: RelayProtocol,
    head: bytes,
    chunks: AsyncIterator[bytes],
    in_chunks: bool,
    idle: float,
) -> None:
    """Write a body as it comes. When it breaks off, so does the connection: the provider must not take it
    for complete."""
    try:
        _write(connection, head)
        async for chunk in chunks:
            _write(connection, b"%x\r\n%b\r\n" % (len(chunk), chunk) if in_chunks else chunk)
            if protocol.writing_paused:
                async with asyncio.timeout(idle):
                    await protocol.drain()
        if in_chunks:
            _write(connection, b"0\r\n\r\n")
        protocol.start_timeout()
    except (ProxyError, aiohttp.ClientError) as error:
        protocol.set_exception(error)
        connection.close()
    except TimeoutError:
        protocol.set_exception(aiohttp.SocketTimeoutError("the upload is not read"))
        connection.close()
    except OSError as error:
        protocol.set_exception(aiohttp.ClientOSError(*error.args))
        connection.close()
    except BaseException:
        connection.close()
        raise


def _write(connection: Connection, data: bytes) -> None:
    transport = connection.transport
    if transport is None or transport.is_closing():
        raise aiohttp.ServerDisconnectedError
    transport.write(data)
