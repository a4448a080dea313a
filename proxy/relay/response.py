"""A provider's answer on its way back to the caller: an answer, a stream, or a WebSocket."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from aiohttp import web
from aiohttp.http_writer import StreamWriter

from proxy.errors import ClientGone, UpstreamError
from proxy.http.response_head import RelayResponse
from proxy.http.wire import Answer
from proxy.relay.context import Passage
from proxy.relay.response_body import pass_on, pass_stripped
from proxy.websocket import handler as websocket
from proxy.websocket.gate import Gate, Terms
from proxy.websocket.realtime import RealtimeTurns
from proxy.websocket.tunnel import Side, join
from proxy.websocket.turns import Turns


async def pass_back(passage: Passage, answer: Answer, begun: bytes = b"") -> web.StreamResponse:
    """Pass an answer on. Once its head is out, errors can only end the connection.

    Args:
        begun: what has been read of its body, and metered, before.
    Raises: ClientGone.
    """
    if passage.record:
        passage.record.response(answer.status, answer.headers.items())
        passage.record.feed(begun)
    request, meter, strip = passage.request, passage.attempts.meter, passage.strip
    out = RelayResponse(
        answer.status,
        answer.reason,
        answer.raw_headers,
        answer.headers,
        keep_length=strip is None,
        anonymous=passage.lent,
        shared=passage.shared if passage.lent else (),
    )
    writer = await out.prepare(request)
    assert isinstance(writer, StreamWriter)
    try:
        if strip is None:
            await pass_on(passage.target.upstream, answer, writer, passage.hear(), begun)
        else:
            await pass_stripped(passage.target.upstream, answer, writer, passage.hear(), strip, begun)
    except ClientGone:
        meter.finish("client_gone")
        _abort(request)
    except UpstreamError as error:
        meter.finish(error.end_reason, error_code=error.code, error_message=str(error))
        _abort(request)
    else:
        out.complete()
        meter.finish("done")
    return out


async def join_turns(
    passage: Passage, answer: Answer, agreed: Terms | None, is_stopping: Callable[[], bool]
) -> web.StreamResponse:
    """The provider switched to a WebSocket: each turn on it is an event of its own.

    Args:
        agreed: on what terms it may have turns; None has none.
        is_stopping: whether the proxy stops, and so ended it.
    Raises: UpstreamError where nobody had asked for it.
    """
    request, attempts = passage.request, passage.attempts
    if passage.record:
        passage.record.response(answer.status, answer.headers.items())
    if not websocket.is_upgrade(request.headers):
        raise UpstreamError("the provider switched protocols unasked", "upstream_broken")
    attempts.meter.discard()
    kind = RealtimeTurns if passage.target.route.realtime else Turns
    turns = kind(attempts.turn(agreed.reserve if agreed else None), agreed.turned if agreed else None)
    between = Gate(turns, agreed) if agreed else websocket.Listening(turns)
    out = RelayResponse(101, answer.reason, answer.raw_headers, answer.headers)
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
            agreed.ready if agreed else None,
        )
    finally:
        turns.closed(side, stopping=is_stopping())
    return out


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
