"""From a call to what goes out: the stream or the whole body, with the fault that the script gives it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace

from aiohttp import web

from ledger.values import NO_USAGE, Usage
from simulator.provider import limits
from simulator.provider.apis import errors
from simulator.provider.apis.call import Call, told
from simulator.provider.apis.catalogue import Api
from simulator.provider.reply import Headers, Reply
from simulator.provider.script import Cut, ErrorInside, Fault, Garbage, Hang, Refuse, Wire
from simulator.provider.sse import Event


def dressed(events: Iterable[Event], wire: Wire) -> list[Event]:
    """Events with the line ends that the script asks for."""
    result = [e if wire.line_end == "\n" else e.with_line_end(wire.line_end) for e in events]
    if result and not wire.final_blank_line:
        result[-1] = replace(result[-1], data=result[-1].data.rstrip(b"\r\n"))
    return result


def struck(api: str, events: list[Event], fault: Fault | None) -> Iterator[Event | Cut | Hang]:
    """Events up to the fault, then the fault.

    A `Cut` or `Hang` that lies behind the last event strikes there: all has been told, but the stream
    does not end.
    """
    for number, event in enumerate(events):
        if isinstance(fault, Cut | Hang) and number == fault.after_events:
            if isinstance(fault, Cut) and fault.extra_bytes:
                yield Event(event.data[: fault.extra_bytes])
            yield fault
            return
        if isinstance(fault, ErrorInside) and number == fault.after_events:
            yield errors.event(api, fault, number)
            return
        yield event
    if isinstance(fault, Cut | Hang):
        yield fault


def strikes_at_once(fault: Fault | None) -> bool:
    """Whether a fault ends the request before any byte of an answer."""
    return isinstance(fault, Cut | Hang) and fault.after_events is None


JSON: Headers = (("Content-Type", "application/json"),)
EVENTS: Headers = (("Content-Type", "text/event-stream; charset=utf-8"), ("Cache-Control", "no-cache"))


async def answer(reply: Reply, api: Api, call: Call) -> web.StreamResponse:
    fault = call.answer.fault
    if isinstance(fault, Cut | Hang) and strikes_at_once(fault):
        return await reply.struck(fault)
    if isinstance(fault, Refuse):
        return await refuse(reply, api.name, fault, call)
    reply.exchange = replace(reply.exchange, model=call.model)
    if reply.exchange.streamed and api.events is not None and not isinstance(fault, Garbage):
        steps = struck(api.name, dressed(api.events(call), call.answer.wire), fault)
        return await reply.stream(steps, headers(call, EVENTS), call.answer.wire, call.answer.pace)
    return await _whole(reply, api, call)


async def refuse(reply: Reply, api: str, refusal: Refuse, call: Call | None = None) -> web.StreamResponse:
    """Answer an HTTP error; `call` is None where the request is refused unasked."""
    document = errors.body(api, refusal)
    if call is None:
        return await reply.whole(refusal.status, pretty(document), JSON)
    usage = NO_USAGE
    if refusal.with_usage:
        document, usage = errors.with_usage(api, call, document), told(call)
    await asyncio.sleep(call.answer.pace.first)
    return await reply.whole(
        refusal.status, pretty(document), headers(call, JSON), call.answer.wire.coding, usage=usage
    )


def headers(call: Call, content: Headers) -> Headers:
    scripted = call.answer
    quota = limits.headers(scripted.limits) if scripted.limits else ()
    return (*content, ("x-request-id", call.id("req_")), *quota, *scripted.headers)


def pretty(document: object) -> bytes:
    """JSON as the provider writes it where nothing streams: indented, UTF-8 unescaped."""
    return json.dumps(document, indent=2, ensure_ascii=False).encode()


async def _whole(reply: Reply, api: Api, call: Call) -> web.StreamResponse:
    fault = call.answer.fault
    body, usage = _body(api, call)
    content = EVENTS if reply.exchange.streamed else JSON
    await asyncio.sleep(call.answer.pace.first)
    return await reply.whole(
        200,
        body,
        headers(call, content),
        call.answer.wire.coding,
        usage=usage,
        fault=fault if isinstance(fault, Cut | Hang) else None,
    )


def _body(api: Api, call: Call) -> tuple[bytes, Usage]:
    match call.answer.fault:
        case Garbage(body=garbage):
            return garbage, NO_USAGE
        case ErrorInside() as error:
            return pretty(errors.inside(api.name, error)), NO_USAGE
        case _:
            return pretty(api.body(call)), api.told(call)
