"""One request's way: client -> proxy -> provider and back, bytes untouched, with a meter beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

from aiohttp import ClientResponse, web
from aiohttp.http_writer import StreamWriter

from ledger.values import DEFAULT_ACCOUNT, RequestEvent
from proxy import inbound
from proxy.errors import ClientGone, Refused, UpstreamError
from proxy.headers import credential, request_headers, session_id
from proxy.meter import Caller, Meter, new_id
from proxy.privacy import mask_key
from proxy.response import RelayResponse, error_response
from proxy.routes import route
from proxy.upstream import Upstream
from proxy.usage import Asked

Emit = Callable[[RequestEvent], None]


class Relay:
    """Forwards requests and makes one event of each.

    Args:
        emit: takes every event; must not block or raise.
        own_key: the credential of last resort, for callers on this host who bring none.
    """

    def __init__(self, upstream: Upstream, emit: Emit, own_key: str | None = None) -> None:
        self._upstream = upstream
        self._emit = emit
        self._own_key = own_key
        self.stopping = False

    async def __call__(self, request: web.BaseRequest, path: str, query: str) -> web.StreamResponse:
        """Answer a request.

        Args:
            path: the path behind the public base path, as the client wrote it.
            query: "?..." or "".
        """
        meter = Meter(_caller(request, path), self._emit, perf_counter())
        try:
            return await self._exchange(request, path + query, meter)
        except Refused as error:
            meter.finish("refused", http_status=error.status, error_code=error.code, error_message=str(error))
            return error_response(error, error.status, error.code)
        except UpstreamError as error:
            meter.finish(
                error.end_reason, http_status=error.status, error_code=error.code, error_message=str(error)
            )
            return error_response(error, error.status, error.code)
        except asyncio.CancelledError:
            meter.finish("shutdown" if self.stopping else "client_gone")
            raise

    async def _exchange(self, request: web.BaseRequest, tail: str, meter: Meter) -> web.StreamResponse:
        def learn(asked: Asked) -> None:
            meter.asked = asked

        body = await inbound.body(request, learn)
        headers = request_headers(request.headers)
        if self._own_key and _may_borrow(request):
            headers["Authorization"] = f"Bearer {self._own_key}"
        if not isinstance(body, bytes) and body is not None and request.content_length is not None:
            headers["Content-Length"] = str(request.content_length)
        answer = await self._upstream.send(request.method, tail, headers, body)
        try:
            meter.answered(answer.status, answer.headers)
            return await self._answer(request, answer, meter)
        finally:
            answer.close() if not answer.content.at_eof() else answer.release()

    async def _answer(
        self, request: web.BaseRequest, answer: ClientResponse, meter: Meter
    ) -> web.StreamResponse:
        """Pass the answer on. Once its head is out, errors can only end the connection."""
        out = RelayResponse(answer.status, answer.reason, answer.raw_headers)
        writer = await out.prepare(request)
        assert isinstance(writer, StreamWriter)
        try:
            await self._pass(answer, writer, meter)
        except ClientGone:
            meter.finish("client_gone")
            _abort(request)
        except UpstreamError as error:
            meter.finish(error.end_reason, error_code=error.code, error_message=str(error))
            _abort(request)
        else:
            meter.finish("done")
        return out

    async def _pass(self, answer: ClientResponse, writer: StreamWriter, meter: Meter) -> None:
        content = answer.content
        if not content.is_eof() and answer.headers.get("Content-Type", "").startswith("text/event-stream"):
            writer.send_headers()  # the first event may be long in coming
        while True:
            chunk = await self._upstream.read(answer)
            if chunk:
                meter.feed(chunk)
            last = content.at_eof()
            try:
                await (writer.write_eof(chunk) if last else writer.write(chunk))
            except ConnectionError as error:
                raise ClientGone from error
            if last:
                return


def _caller(request: web.BaseRequest, path: str) -> Caller:
    headers = request.headers
    return Caller(
        method=request.method,
        route=route(request.method, path),
        account_id=DEFAULT_ACCOUNT,
        api_key_id=mask_key(credential(headers)),
        request_id=headers.get("x-client-request-id") or headers.get("x-request-id") or new_id(),
        session_id=session_id(headers),
        user_agent=headers.get("User-Agent"),
    )


def _may_borrow(request: web.BaseRequest) -> bool:
    """Whether a caller without a credential may use ours: a program on this host, never a web page
    (which brings an Origin, or a Host of its own by DNS rebinding)."""
    headers = request.headers
    if "Authorization" in headers or "x-api-key" in headers or "Origin" in headers:
        return False
    host = headers.get("Host", "").rpartition(":")[0].strip("[]") or headers.get("Host", "")
    return request.remote in ("127.0.0.1", "::1") and host in ("127.0.0.1", "localhost", "::1")


def _abort(request: web.BaseRequest) -> None:
    """End the connection without ending the body: what is cut must not look complete."""
    if request.transport is not None:
        request.transport.close()
