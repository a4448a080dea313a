"""Connections of clients, on aiohttp's: a malformed request leaves nothing of its bytes in the log or in the
answer, where aiohttp's own would show whole lines with their keys; and the reader of a malformed body does
not wait for the rest of it."""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from asyncio import BaseTransport
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_writer import StreamWriter
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import ERROR, RequestHandler, _ErrInfo

from settings.lifetime import open_files

log = logging.getLogger("quotascope.server")

KEEPALIVE_SECONDS = 75.0
"""How long a connection may lie idle, or take to say what it wants."""

OWN_FILES = 256
"""Open files besides connections."""

LOG_SECONDS = 10.0
"""How often a fault of one kind is logged; whoever floods the server must not flood the log."""

_LATIN = re.compile(rb"[\x80-\xff]")

ErrorAnswer = Callable[[int, str, str], web.Response]
"""Makes an answer of our own from its status, a code for programs and one line for people."""


def plain_text(status: int, code: str, problem: str) -> web.Response:
    return web.Response(status=status, text=f"{problem}\n")


def take_rest(content: StreamReader) -> bytes | None:
    """All that is left of a body whose end has come; None for any other. The reader's own way takes three
    calls for each chunk, to learn whether more may come."""
    if type(content) is not StreamReader or not content.is_eof() or content.exception() is not None:
        return None
    chunks = content._buffer
    rest = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    chunks.clear()
    return rest


class RateLimitedLog:
    """Logs each kind of fault, and how often it was seen since."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[float, int]] = {}

    def __call__(self, level: int, kind: str, text: str) -> None:
        at, missed = self._kinds.get(kind, (float("-inf"), 0))
        if monotonic() - at < LOG_SECONDS:
            self._kinds[kind] = at, missed + 1
            return
        self._kinds[kind] = monotonic(), 0
        log.log(level, "%s%s", text, f" ({missed} more of this kind before)" if missed else "")

    def fault(self, text: str, error: BaseException | None) -> None:
        """Logs where our code failed, without the values: those may be a caller's."""
        place = "".join(traceback.format_tb(error.__traceback__)) if error is not None else ""
        kind = type(error).__name__
        self(logging.ERROR, f"{kind}{place}", f"{text}: {kind}\n{place}".strip())


class Flow(BaseProtocol):
    """What both ends of a relay want of aiohttp's connections."""

    __slots__ = ()

    async def drain(self) -> None:
        """Wait until the other side has taken what was written."""
        await self._drain_helper()

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused:  # aiohttp calls this at every read, and goes through its parser each time
            super().resume_reading(resume_parser)


class Connection(Flow, RequestHandler):
    def __init__(
        self, manager: web.Server, faults: RateLimitedLog, error_answer: ErrorAnswer, **options: Any
    ) -> None:
        super().__init__(manager, **options)
        self._faults = faults
        self._error_answer = error_answer
        self._body: StreamReader | None = None
        self._in_target = True

    @property
    def busy(self) -> bool:
        return self._request_in_progress

    @property
    def is_silent(self) -> bool:
        """Whether it has never asked for anything."""
        return self._request_count == 0

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        if isinstance(self._manager, ConnectionServer):
            self._manager.make_room(self)

    def cut(self) -> None:
        if self._task_handler is not None:
            self._task_handler.cancel()

    def data_received(self, data: bytes) -> None:
        begins = self._body is None or self._body.is_eof()
        switched = self._upgraded or self._payload_parser is not None  # what comes is no request any more
        if begins and self._in_target and not switched and not data.isascii():
            data = encoded_target(data)
        before = self._request_count
        super().data_received(data)
        messages = self._messages
        if self._request_count != before and messages:
            self._body = messages[-1][1]
            self._in_target = True
        elif begins:
            self._in_target = self._in_target and b"\n" not in data
        if messages and isinstance(messages[-1][0], _ErrInfo):
            self._break_off()

    async def start(self) -> None:
        """Answer one request after another. aiohttp's own makes a task for each, so that their context
        variables are apart; there are none here, and a task costs a request as much as reading its head."""
        while not self._force_close:
            if not self._messages:
                await self._next_message()
            message, content = self._messages.popleft()
            if self._parser is not None:
                self._parser.message_consumed()
            if self._buffer_paused:
                self._resume_reading_if_drained()
            try:
                self._keepalive = await self._answer(message, content)
            except ConnectionError:  # the client has left
                self._keepalive = False
            except Exception as error:
                self.log_exception(exc_info=error)
                self.force_close()
            except BaseException:
                self.force_close()
                raise
            if not self._keepalive or self._close or self._force_close:
                break
            self._await_next()
            if self._messages:  # who sends many at once must not keep the others waiting
                await asyncio.sleep(0)
        if not self._force_close:
            self._task_handler = None
            if self.transport is not None:
                self.transport.close()

    async def _next_message(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _answer(self, message: Any, content: StreamReader) -> bool:
        """Answer one request; whether another one may come."""
        manager, handler, factory = self._manager, self._request_handler, self._request_factory
        assert manager is not None and handler is not None and factory is not None and self._task_handler
        manager.requests_count += 1
        if isinstance(message, _ErrInfo):
            handler, message = self._make_error_handler(message), ERROR
        request = factory(message, content, self, StreamWriter(self, self._loop), self._task_handler)
        try:
            answer, left = await self._handle_request(request, None, handler)
        finally:
            request._task = None  # type: ignore[assignment]  # its frames hold the request
        if left:
            return False
        if not content.is_eof() and not self._force_close:
            await self._rest(content)
        return bool(answer.keep_alive)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send what is left of an answer, and whether the client has left meanwhile."""
        if resp._eof_sent and not self._upgraded:  # all of it is out
            return resp, False
        return await super().finish_response(request, resp, start_time)

    async def _rest(self, content: StreamReader) -> None:
        """Read what nobody wanted of a body, so that the client reads its answer; not for long."""
        await asyncio.sleep(0)  # whoever waited for more of it was cancelled, and lets go of it now
        with suppress(TimeoutError):
            async with asyncio.timeout(self._lingering_time):
                while not content.is_eof() and not self._force_close:
                    await content.readany()
        if not content.is_eof() and not self._force_close:
            self.close()

    def _await_next(self) -> None:
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            at = self._next_keepalive_close_time
            self._keepalive_handle = self._loop.call_at(at, self._process_keepalive)

    def _break_off(self) -> None:
        """End the reading of a body whose rest is malformed; aiohttp's own leaves its reader waiting."""
        request = self._current_request
        if request is not None and not request.content.is_eof() and request.content.exception() is None:
            request.content.set_exception(web.RequestPayloadError("the request body is malformed"))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what cannot be read as a request, or made our own code fail."""
        if status >= 500:
            if not isinstance(exc, ConnectionError):  # the client has left
                self.log_exception(exc_info=exc)
            answer = self._error_answer(500, "internal_error", "this request failed unexpectedly")
        else:
            status = 431 if isinstance(exc, LineTooLong) else status
            kind = type(exc).__name__
            self._faults(logging.WARNING, kind, f"malformed request from {request.remote}: {kind}")
            problem = "a line is too long" if status == 431 else "this is not a request by RFC 9112"
            answer = self._error_answer(status, "malformed_request", problem)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        answer.force_close()
        return answer

    def log_exception(self, *_: Any, exc_info: Any = None, **__: Any) -> None:
        error = exc_info if isinstance(exc_info, BaseException) else None
        self._faults.fault("a request failed unexpectedly", error)


class ConnectionServer(web.Server):
    """Makes the connections.

    Args:
        max_connections: at once; a proxy's request needs another one.
    """

    def __init__(
        self,
        handler: Any,
        *,
        error_answer: ErrorAnswer = plain_text,
        max_connections: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(handler, access_log=None, keepalive_timeout=KEEPALIVE_SECONDS, **options)
        self._faults = RateLimitedLog()
        self._error_answer = error_answer
        self._max = max_connections or max(OWN_FILES, open_files() - OWN_FILES) // 2

    def make_room(self, newest: Connection) -> None:
        """Close a connection where there is one too many: the one that has been silent for longest, else the
        first that waits for its next request, else the newest."""
        if len(self._connections) <= self._max:
            return
        idle = [one for one in self._connections if isinstance(one, Connection) and not one.busy]
        silent = next((one for one in idle if one.is_silent), newest)
        leaves = silent if silent is not newest else next(iter(idle), newest)
        self._faults(logging.WARNING, "connections", f"more than {self._max} connections: one was closed")
        leaves.force_close()

    def __call__(self) -> RequestHandler:
        return Connection(self, self._faults, self._error_answer, loop=self._loop, **self._kwargs)


class ApplicationRunner(web.AppRunner):
    """Runs an application on these connections; aiohttp has no other way to say which ones it gets."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return ConnectionServer(made.request_handler, request_factory=made.request_factory, **self._kwargs)


def encoded_target(data: bytes) -> bytes:
    """The beginning of a request whose target has bytes beyond ASCII, with these percent-encoded: that is how
    browsers spell them and how providers read them, while the parser takes them for a fault."""
    line, newline, rest = data.partition(b"\n")
    return _LATIN.sub(lambda found: b"%%%02X" % found[0][0], line) + newline + rest
