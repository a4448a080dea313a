"""Answers on their way to the client: the provider's head byte for byte, and our own JSON."""

from __future__ import annotations

import json

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_writer import HttpVersion11, StreamWriter
from multidict import MultiMapping

from proxy.errors import ProxyError
from proxy.http.headers import HOP_BY_HOP, ROUTED_DROPS, RawHeaders, kept_lines
from settings.callers import Headers

_KINDS = {401: "authentication_error", 429: "rate_limit_error"}


class RelayResponse(web.StreamResponse):
    """A provider's answer, its head copied as raw bytes.

    aiohttp's own response would add Server and Content-Type and re-encode header values; what is
    framing (Connection, Transfer-Encoding) is set for this connection, all else is left alone.

    Args:
        raw_headers, headers: the provider's, as bytes and by name.
        keep_length: False where the body will be shorter than the provider's Content-Length says.
        anonymous: without the headers that tell of the account which answered.
        shared: in place of those by which the provider lets pages read it.
    """

    def __init__(
        self,
        status: int,
        reason: str | None,
        raw_headers: RawHeaders,
        headers: MultiMapping[str],
        *,
        keep_length: bool = True,
        anonymous: bool = False,
        shared: Headers = (),
    ) -> None:
        super().__init__(status=status, reason=reason or "")
        self._raw_headers = raw_headers
        self._by_name = headers
        self._keep_length = keep_length
        self._drops = ROUTED_DROPS if anonymous else HOP_BY_HOP
        self._shared = shared
        if shared:
            self._drops |= {
                name.lower() for name, _ in raw_headers if name.lower().startswith(b"access-control-")
            }

    async def _start(self, request: web.BaseRequest) -> AbstractStreamWriter:
        self._req = request
        writer = self._payload_writer = request.writer
        assert isinstance(writer, StreamWriter)
        status, version = self.status, request.version
        lines, length = self._kept(status)
        for name, value in self._shared:
            lines.append(f"{name}: {value}".encode())
        keep_alive = request.keep_alive
        if not self._must_be_empty_body:
            if length is not None:
                writer.length = length
            elif version >= HttpVersion11:
                writer.enable_chunking()
                lines.append(b"Transfer-Encoding: chunked")
            else:
                keep_alive = False
        if status != 101:
            if not keep_alive:
                lines.append(b"Connection: close")
            elif version < HttpVersion11:
                lines.append(b"Connection: keep-alive")
        self._keep_alive = keep_alive
        start = f"HTTP/{version.major}.{version.minor} {status} {self.reason}"
        writer._headers_buf = b"\r\n".join((start.encode("utf-8", "surrogateescape"), *lines, b"\r\n"))
        writer._headers_written = False
        return writer

    def complete(self) -> None:
        """Its body is out: nothing is left to do with it."""
        self._eof_sent = True
        self._req = self._payload_writer = None

    def _kept(self, status: int) -> tuple[list[bytes], int | None]:
        """Header lines that travel on, and the body's length where they name it."""
        if status == 101:  # the switch is between the two ends
            return [name + b": " + value for name, value in self._raw_headers], None
        if not self._keep_length:
            return kept_lines(self._raw_headers, self._by_name, self._drops | {b"content-length"}), None
        length = self._by_name.get("Content-Length")
        lines = kept_lines(self._raw_headers, self._by_name, self._drops)
        return lines, None if length is None else int(length)


def error_response(
    error: ProxyError, status: int, code: str, *, retry_after: int | None = None
) -> web.Response:
    """An error in the shape that OpenAI's clients understand; `retry_after` in seconds."""
    if code.startswith("upstream_"):
        kind = "upstream_error"
    else:
        kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    answer = json_response(
        status, {"error": {"message": f"Quotascope: {error}", "type": kind, "param": None, "code": code}}
    )
    if retry_after is not None:
        answer.headers["Retry-After"] = str(retry_after)
    return answer


def json_response(status: int, document: object) -> web.Response:
    """A small JSON answer of our own."""
    return web.Response(
        status=status, body=json.dumps(document).encode() + b"\n", content_type="application/json"
    )
