"""One request's way: client -> proxy -> provider and back, bytes untouched, with a meter beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from time import perf_counter

from aiohttp import ClientResponse, web
from aiohttp.http_writer import StreamWriter

from ledger.values import DEFAULT_ACCOUNT
from proxy import inbound, include_usage, websocket
from proxy.body_log import BodyLog, Record
from proxy.errors import ClientGone, Refused, UpstreamError
from proxy.headers import credential, replaced, request_lines, session_id
from proxy.meter import Caller, Emit, Meter, Tell, new_id
from proxy.privacy import mask_key
from proxy.response import RelayResponse, error_response
from proxy.routes import Route
from proxy.tunnel import Side, join
from proxy.upstream import Upstream
from proxy.wire import Body


@dataclass(frozen=True, slots=True)
class Options:
    """What the relay does beyond passing bytes on.

    Attributes:
        own_key: the credential of last resort, for callers on this host who bring none.
        include_usage: ask for the counts of streamed chat completions on the client's behalf.
        most_bytes: of a request's body.
        most_requests: in flight at once.
    """

    own_key: str | None = None
    include_usage: bool = False
    most_bytes: int = 2**30
    most_requests: int = 2**30


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: the provider, path and query there, and what it is for."""

    upstream: Upstream
    path: str
    route: Route


class Relay:
    """Forwards requests and makes one event of each.

    Args:
        emit, tell: take every event, and every word on quota; must not block or raise.
        body_log: where bodies are logged, if at all.
    """

    def __init__(self, emit: Emit, tell: Tell, options: Options, body_log: BodyLog | None = None) -> None:
        self._emit = emit
        self._tell = tell
        self._options = options
        self._body_log = body_log
        self.running = 0
        self.stopping = False

    async def __call__(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        """Answer a request."""
        start = perf_counter()
        caller = _caller(request, target.route)
        meter = Meter(caller, self._emit, start, self._tell)
        record = self._body_log.record(caller.request_id) if self._body_log else None
        self.running += 1
        try:
            if self.running > self._options.most_requests:
                raise Refused(
                    503, "too_many_requests_in_flight", "too many requests in flight; try again soon"
                )
            return await self._exchange(request, target, meter, record)
        except Refused as error:
            meter.finish("refused", http_status=error.status, error_code=error.code, error_message=str(error))
            return error_response(error, error.status, error.code)
        except UpstreamError as error:
            status = error.status
            meter.finish(
                error.end_reason, http_status=status, error_code=error.code, error_message=str(error)
            )
            return error_response(error, status, error.code)
        except ClientGone as error:
            meter.finish("client_gone")
            raise ConnectionResetError from error
        except asyncio.CancelledError:
            if self.stopping:
                meter.finish("shutdown", error_code="shutting_down")
            meter.finish("client_gone")
            raise
        finally:
            self.running -= 1
            if record:
                record.end()

    async def _exchange(
        self, request: web.BaseRequest, target: Target, meter: Meter, record: Record | None
    ) -> web.StreamResponse:
        if record:
            record.request(request.method, request.raw_path, request.headers.items())
        body = await inbound.body(
            request, meter.learn, record.feed if record else None, self._options.most_bytes
        )
        lines = self._lines(request)
        strip = None
        if self._options.include_usage and _wants_usage(target.route, meter, body):
            assert isinstance(body, bytes)
            body, strip = include_usage.asking(body), include_usage.Strip()
            lines = replaced(lines, b"Accept-Encoding", b"identity")
        if websocket.is_upgrade(request.headers):
            lines = websocket.upgrade_lines(lines)
        length = request.content_length if isinstance(body, AsyncIterator) else None
        answer = await target.upstream.send(request.method, target.path, lines, body, length)
        try:
            if record:
                record.response(answer.status, answer.headers.items())
            if answer.status == 101:
                meter.discard()
                return await self._join(request, answer, target.route)
            meter.answered(answer.status, answer.headers)
            hear = meter.feed if record is None else _both(meter.feed, record.feed)
            return await self._answer(request, target.upstream, answer, meter, hear, strip)
        finally:
            if not answer.content.at_eof() or answer.content.exception() is not None:
                answer.close()

    def _lines(self, request: web.BaseRequest) -> list[bytes]:
        lines = request_lines(request.raw_headers)
        if self._options.own_key and _may_borrow(request):
            lines.append(b"Authorization: Bearer " + self._options.own_key.encode())
        return lines

    async def _answer(
        self,
        request: web.BaseRequest,
        upstream: Upstream,
        answer: ClientResponse,
        meter: Meter,
        hear: Callable[[bytes], None],
        strip: include_usage.Strip | None,
    ) -> web.StreamResponse:
        """Pass the answer on. Once its head is out, errors can only end the connection."""
        out = RelayResponse(answer.status, answer.reason, answer.raw_headers, keep_length=strip is None)
        writer = await out.prepare(request)
        assert isinstance(writer, StreamWriter)
        try:
            if strip is None:
                await _pass(upstream, answer, writer, hear)
            else:
                await _pass_stripped(upstream, answer, writer, hear, strip)
        except ClientGone:
            meter.finish("client_gone")
            _abort(request)
        except UpstreamError as error:
            meter.finish(error.end_reason, error_code=error.code, error_message=str(error))
            _abort(request)
        else:
            meter.finish("done")
        return out

    async def _join(
        self, request: web.BaseRequest, answer: ClientResponse, route: Route
    ) -> web.StreamResponse:
        """The provider switched to a WebSocket: each turn on it is an event of its own."""
        caller = _caller(request, Route(route.api, route.template, billable=True))
        turns = websocket.Turns(lambda start: Meter(caller, self._emit, start, self._tell))
        out = RelayResponse(101, answer.reason, answer.raw_headers)
        writer = await out.prepare(request)
        assert isinstance(writer, StreamWriter)
        assert answer.connection is not None
        writer.send_headers()
        side: Side = "client"
        try:
            side = await join(
                request.protocol,
                answer.connection.protocol,
                websocket.Messages("client", turns.asked, turns.closing).feed,
                websocket.Messages("upstream", turns.answered, turns.closing).feed,
            )
        finally:
            turns.closed(side, stopping=self.stopping)
        return out


async def _pass(
    upstream: Upstream, answer: ClientResponse, writer: StreamWriter, hear: Callable[[bytes], None]
) -> None:
    content = answer.content
    if not content.is_eof() and answer.headers.get("Content-Type", "").startswith("text/event-stream"):
        writer.send_headers()  # the first event may be long in coming
    while True:
        chunk = await upstream.read(answer)
        if chunk:
            hear(chunk)
        last = content.at_eof()
        try:
            await (writer.write_eof(chunk) if last else writer.write(chunk))
        except ConnectionError as error:
            raise ClientGone from error
        if last:
            return


async def _pass_stripped(
    upstream: Upstream,
    answer: ClientResponse,
    writer: StreamWriter,
    hear: Callable[[bytes], None],
    strip: include_usage.Strip,
) -> None:
    writer.send_headers()
    try:
        while chunk := await upstream.read(answer):
            hear(chunk)
            if kept := strip(chunk):
                await writer.write(kept)
        await writer.write_eof(strip.end())
    except ConnectionError as error:
        raise ClientGone from error


def _both(first: Callable[[bytes], None], second: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def hear(chunk: bytes) -> None:
        first(chunk)
        second(chunk)

    return hear


def _caller(request: web.BaseRequest, route: Route) -> Caller:
    headers = request.headers
    return Caller(
        method=request.method,
        route=route,
        account_id=DEFAULT_ACCOUNT,
        api_key_id=mask_key(credential(headers)),
        request_id=headers.get("x-client-request-id") or headers.get("x-request-id") or new_id(),
        session_id=session_id(headers),
        user_agent=headers.get("User-Agent"),
    )


def _wants_usage(route: Route, meter: Meter, body: Body) -> bool:
    asked = meter.asked
    return (
        route.api in include_usage.APIS
        and asked.stream
        and not asked.include_usage
        and isinstance(body, bytes)
    )


def _may_borrow(request: web.BaseRequest) -> bool:
    """Whether a caller without a credential may use ours: a program on this host, never a web page
    (which brings an Origin, or a Host of its own by DNS rebinding)."""
    headers = request.headers
    if any(name in headers for name in ("Authorization", "x-api-key", "api-key", "Origin")):
        return False
    host = headers.get("Host", "")
    name = host if host.startswith("[") and host.endswith("]") else host.rpartition(":")[0] or host
    return request.remote in ("127.0.0.1", "::1") and name.strip("[]") in ("127.0.0.1", "localhost", "::1")


def _abort(request: web.BaseRequest) -> None:
    """End the connection without ending the body: what is cut must not look complete."""
    if request.transport is not None:
        request.transport.close()
