"""One request's way: client -> proxy -> provider and back, bytes untouched, with a meter beside it."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from aiohttp import ClientResponse, web
from aiohttp.http_writer import StreamWriter

from proxy import inbound, include_usage, websocket
from proxy.attempts import Attempts
from proxy.body_log import BodyLog, Record
from proxy.dispatch import Dispatch
from proxy.errors import ClientGone, Refused, UpstreamError
from proxy.exchange import Question
from proxy.gate import Gate
from proxy.headers import credential, replaced, request_lines, session_id
from proxy.meter import Caller, Emit, Tell, new_id
from proxy.passing import Hear, pass_on, pass_stripped
from proxy.privacy import mask_key
from proxy.response import RelayResponse, error_response
from proxy.routes import Route
from proxy.routing.candidate import Host
from proxy.routing.keys import Key
from proxy.terms import terms
from proxy.tunnel import Side, join
from proxy.turns import Turns
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
    host: Host
    path: str
    route: Route


class Relay:
    """Forwards requests and makes one event of each attempt.

    Args:
        emit, tell: take every event, and every word on quota; must not block or raise.
        dispatch: chooses accounts; None passes callers' own credentials on.
        body_log: where bodies are logged, if at all.
    """

    def __init__(
        self,
        emit: Emit,
        tell: Tell,
        options: Options,
        dispatch: Dispatch | None = None,
        body_log: BodyLog | None = None,
    ) -> None:
        self._emit = emit
        self._tell = tell
        self._options = options
        self._dispatch = dispatch
        self._body_log = body_log
        self.running = 0
        self.stopping = False

    async def __call__(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        """Answer a request."""
        caller = _caller(request, target.route)
        attempts = Attempts(caller, self._emit, self._tell, perf_counter())
        record = self._body_log.record(caller.request_id) if self._body_log else None
        self.running += 1
        try:
            return await self._exchange(request, target, attempts, record)
        except Refused as error:
            attempts.meter.finish(
                "refused", http_status=error.status, error_code=error.code, error_message=str(error)
            )
            return error_response(error, error.status, error.code, retry_after=error.retry_after)
        except UpstreamError as error:
            attempts.meter.finish(
                error.end_reason, http_status=error.status, error_code=error.code, error_message=str(error)
            )
            return error_response(error, error.status, error.code)
        except ClientGone as error:
            attempts.meter.finish("client_gone")
            raise ConnectionResetError from error
        except asyncio.CancelledError:
            if self.stopping:
                attempts.meter.finish("shutdown", error_code="shutting_down")
            attempts.meter.finish("client_gone")
            raise
        finally:
            self.running -= 1
            if record:
                record.end()

    async def _exchange(
        self, request: web.BaseRequest, target: Target, attempts: Attempts, record: Record | None
    ) -> web.StreamResponse:
        options, dispatch = self._options, self._dispatch
        if self.running > options.most_requests:
            raise Refused(503, "too_many_requests_in_flight", "too many requests in flight; try again soon")
        if record:
            record.request(request.method, request.raw_path, request.headers.items())
        routed = dispatch is not None and dispatch.active(target.host)
        key = self._admit(request, attempts, routed=routed)
        hear_body = record.feed if record else None
        body = await inbound.body(request, attempts.learn, hear_body, options.most_bytes, replay=routed)
        lines = request_lines(request.raw_headers, anonymous=routed or key is not None)
        strip = None
        encoded = "Content-Encoding" in request.headers
        if options.include_usage and not encoded and _wants_usage(target.route, attempts, body):
            assert isinstance(body, bytes)
            body, strip = include_usage.asking(body), include_usage.Strip()
            lines = replaced(lines, b"Accept-Encoding", b"identity")
        if websocket.is_upgrade(request.headers):
            lines = websocket.upgrade_lines(lines)
        length = None if body is None or isinstance(body, bytes) else request.content_length
        question = Question(request.method, target.path, lines, body, length)
        if routed:
            assert dispatch is not None
            return await self._routed(request, target, question, attempts, record, strip, dispatch)
        if target.host == "api" and options.own_key and (key is not None or _may_borrow(request)):
            lines.append(b"Authorization: Bearer " + options.own_key.encode())
        elif key is not None:  # it says who the caller is, here and nowhere else
            raise Refused(503, "no_account", "no account is there for this path, and a proxy key ends here")
        answer = await target.upstream.send(request.method, target.path, lines, body, length)
        attempts.meter.answered(answer.status, answer.headers)
        return await self._return(request, target, answer, b"", attempts, record, strip)

    def _admit(self, request: web.BaseRequest, attempts: Attempts, *, routed: bool) -> Key | None:
        """The caller's proxy key, if it has one. Raises: Refused."""
        if self._dispatch is None:
            return None
        admission = self._dispatch.admission
        key = admission.key_of(credential(request.headers))
        if key is not None:
            attempts.by_key(key)
        admission.admit(key, routed=routed)
        return key

    async def _routed(
        self,
        request: web.BaseRequest,
        target: Target,
        question: Question,
        attempts: Attempts,
        record: Record | None,
        strip: include_usage.Strip | None,
        dispatch: Dispatch,
    ) -> web.StreamResponse:
        outcome = await dispatch.send(target.upstream, target.host, question, attempts)
        assert outcome.answer is not None
        answer = outcome.answer
        out = await self._return(request, target, answer, outcome.begun, attempts, record, strip)
        if answer.status != 101:  # each turn on a WebSocket told for itself how it went
            dispatch.ended(outcome, attempts.meter)
        return out

    async def _return(
        self,
        request: web.BaseRequest,
        target: Target,
        answer: ClientResponse,
        begun: bytes,
        attempts: Attempts,
        record: Record | None,
        strip: include_usage.Strip | None,
    ) -> web.StreamResponse:
        """Pass the answer on, whatever it is.

        Args:
            begun: what has been read of its body, and metered, before.
        """
        try:
            if record:
                record.response(answer.status, answer.headers.items())
                record.feed(begun)
            if answer.status == 101:
                if not websocket.is_upgrade(request.headers):
                    raise UpstreamError("the provider switched protocols unasked", "upstream_broken")
                return await self._join(request, target.host, answer, attempts)
            hear = attempts.meter.feed if record is None else _both(attempts.meter.feed, record.feed)
            return await self._answer(request, target.upstream, answer, begun, attempts, hear, strip)
        finally:
            if not answer.content.at_eof() or answer.content.exception() is not None:
                answer.close()

    async def _answer(
        self,
        request: web.BaseRequest,
        upstream: Upstream,
        answer: ClientResponse,
        begun: bytes,
        attempts: Attempts,
        hear: Hear,
        strip: include_usage.Strip | None,
    ) -> web.StreamResponse:
        """Pass head and body on. Once the head is out, errors can only end the connection."""
        out = RelayResponse(
            answer.status,
            answer.reason,
            answer.raw_headers,
            keep_length=strip is None,
            anonymous=attempts.routed,
        )
        writer = await out.prepare(request)
        assert isinstance(writer, StreamWriter)
        meter = attempts.meter
        try:
            if strip is None:
                await pass_on(upstream, answer, writer, hear, begun)
            else:
                await pass_stripped(upstream, answer, writer, hear, strip, begun)
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
        self, request: web.BaseRequest, host: Host, answer: ClientResponse, attempts: Attempts
    ) -> web.StreamResponse:
        """The provider switched to a WebSocket: each turn on it is an event of its own."""
        attempts.meter.discard()
        agreed = terms(self._dispatch, host, attempts)
        turns = Turns(attempts.turn(), agreed.turned if agreed else None)
        between = Gate(turns, agreed) if agreed else websocket.Listening(turns)
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
                between.from_client,
                between.from_upstream,
                between.parting if isinstance(between, Gate) else None,
            )
        finally:
            turns.closed(side, stopping=self.stopping)
        return out


def _both(first: Hear, second: Hear) -> Callable[[bytes], None]:
    def hear(chunk: bytes) -> None:
        first(chunk)
        second(chunk)

    return hear


def _caller(request: web.BaseRequest, route: Route) -> Caller:
    headers = request.headers
    return Caller(
        method=request.method,
        route=route,
        api_key_id=mask_key(credential(headers)),
        request_id=headers.get("x-client-request-id") or headers.get("x-request-id") or new_id(),
        session_id=session_id(headers),
        user_agent=headers.get("User-Agent"),
    )


def _wants_usage(route: Route, attempts: Attempts, body: Body) -> bool:
    asked = attempts.asked
    wants = route.api in include_usage.APIS and asked.stream and not asked.include_usage
    return wants and isinstance(body, bytes)


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
    transport = request.transport
    if transport is None:
        return
    if request.version < (1, 1):  # where the end of the connection ends the body, only a reset tells
        reset = struct.pack("ii", 1, 0)  # linger for no time: closing sends a reset
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        transport.abort()
    else:
        transport.close()
