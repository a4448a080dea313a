"""Clients' connections on aiohttp's: what it says of malformed requests is said in our own words, and what it
does not tell a body's reader is told.

The library's own words hold the request: whole lines with keys, in the log and in the answer.
"""

from __future__ import annotations

import logging
import re
import traceback
from time import monotonic
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler, _ErrInfo

from proxy.errors import ProxyError
from proxy.http.response_head import error_response

log = logging.getLogger("quotascope.server")

TELL_SECONDS = 10.0
"""How often a fault of one kind is told; whoever floods the server must not flood the log."""

_LATIN = re.compile(rb"[\x80-\xff]")


class Told:
    """Tells each kind of fault, and how often it was seen since."""

    def __init__(self) -> None:
        self._kinds: dict[str, tuple[float, int]] = {}

    def __call__(self, level: int, kind: str, text: str) -> None:
        at, missed = self._kinds.get(kind, (float("-inf"), 0))
        if monotonic() - at < TELL_SECONDS:
            self._kinds[kind] = at, missed + 1
            return
        self._kinds[kind] = monotonic(), 0
        log.log(level, "%s%s", text, f" ({missed} more of this kind before)" if missed else "")


class Connection(RequestHandler):
    """A client's connection."""

    def __init__(self, manager: web.Server, told: Told, **options: Any) -> None:
        super().__init__(manager, **options)
        self._told = told
        self._body: StreamReader | None = None
        self._in_target = True

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._request_in_progress

    def cut(self) -> None:
        """End what is being answered."""
        if self._task_handler is not None:
            self._task_handler.cancel()

    def data_received(self, data: bytes) -> None:
        begins = self._body is None or self._body.is_eof()
        switched = self._upgraded or self._payload_parser is not None  # what comes is no request any more
        if begins and self._in_target and not switched and not data.isascii():
            data = encoded_target(data)
        before = self._request_count
        super().data_received(data)
        if self._request_count != before and self._messages:
            self._body = self._messages[-1][1]
            self._in_target = True
        elif begins:
            self._in_target = self._in_target and b"\n" not in data
        self._break_off()

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused:  # aiohttp calls this at every read, and goes through its parser each time
            super().resume_reading(resume_parser)

    def _break_off(self) -> None:
        """Tell the body's reader that the rest of it is malformed; aiohttp's own leaves it waiting."""
        request = self._current_request
        if request is None or not self._messages or not isinstance(self._messages[-1][0], _ErrInfo):
            return
        if not request.content.is_eof() and request.content.exception() is None:
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
            self.log_exception(exc_info=exc)
            answer = error_response(ProxyError("this request made the proxy fail"), 500, "internal_error")
        else:
            status = 431 if isinstance(exc, LineTooLong) else status
            kind = type(exc).__name__
            self._told(logging.WARNING, kind, f"malformed request from {request.remote}: {kind}")
            problem = "a line is too long" if status == 431 else "this is not a request by RFC 9112"
            answer = error_response(ProxyError(problem), status, "malformed_request")
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        answer.force_close()
        return answer

    def log_exception(self, *_: Any, exc_info: Any = None, **__: Any) -> None:
        """Where our code failed, without the values: those may be a caller's."""
        error = exc_info if isinstance(exc_info, BaseException) else None
        place = "".join(traceback.format_tb(error.__traceback__)) if error is not None else ""
        kind = type(error).__name__
        self._told(logging.ERROR, f"{kind}{place}", f"a request failed unexpectedly: {kind}\n{place}".strip())


class ConnectionServer(web.Server):
    """Makes the connections."""

    def __init__(self, handler: Any, **options: Any) -> None:
        super().__init__(handler, access_log=None, **options)
        self._told = Told()

    def __call__(self) -> RequestHandler:
        return Connection(self, self._told, loop=self._loop, **self._kwargs)


def encoded_target(data: bytes) -> bytes:
    """The beginning of a request whose target has bytes beyond ASCII, with these percent-encoded: that is how
    browsers spell them and how providers read them, while the parser takes them for a fault."""
    line, newline, rest = data.partition(b"\n")
    return _LATIN.sub(lambda found: b"%%%02X" % found[0][0], line) + newline + rest
