"""The provider of the benchmarks: the same bytes for every request, made once, with no JSON work.

A request is answered with the stream where its body asks for one, else with the whole answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from aiohttp import web

from ledger.values import Usage
from simulator.listening import listening
from simulator.provider.answering import EVENTS, JSON, pretty
from simulator.provider.apis.call import Call
from simulator.provider.apis.catalogue import APIS
from simulator.provider.script import Answer

STREAM_EVENTS = 200
"""Text deltas of the fixed stream."""

EVENTS_PER_WRITE = 40
"""Events that leave together: a provider that streams in a hurry seldom sends them one by one."""

USAGE = Usage(1_200, 200, 800, 40)
REQUEST = {"model": "gpt-5.5", "stream_options": {"include_usage": True}}
"""What the fixed answers are made from; a request's own model is not looked at."""

_ASKS_FOR_STREAM = (b'"stream":true', b'"stream": true')


@dataclass(frozen=True, slots=True)
class Fixed:
    """The answers of one API, encoded; `stream` has one entry for each write, and none without streams."""

    whole: bytes
    stream: tuple[bytes, ...]


def encoded(events: int = STREAM_EVENTS, events_per_write: int = EVENTS_PER_WRITE) -> Mapping[str, Fixed]:
    short = Call(0, REQUEST, Answer(usage=USAGE, events=40))
    long = Call(0, REQUEST, Answer(usage=USAGE, events=events))
    return {
        path: Fixed(
            pretty(api.body(short)),
            tuple(_joined([e.data for e in api.events(long)], events_per_write)) if api.events else (),
        )
        for path, api in APIS.items()
    }


@asynccontextmanager
async def serve_fixed(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    events: int = STREAM_EVENTS,
    events_per_write: int = EVENTS_PER_WRITE,
) -> AsyncIterator[str]:
    """A provider of fixed answers; the value is its `http://HOST:PORT`.

    Raises: OutputError where the address cannot be used.
    """
    answers = encoded(events, events_per_write)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        answer = answers.get(request.path)
        if answer is None:
            return web.Response(status=404)
        if answer.stream and any(mark in body for mark in _ASKS_FOR_STREAM):
            return await _stream(request, answer.stream)
        return web.Response(body=answer.whole, headers=_WHOLE)

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=1.0)
    async with listening(runner, host, port) as origin:
        yield origin


def _joined(parts: list[bytes], size: int) -> Iterator[bytes]:
    for start in range(0, len(parts), size):
        yield b"".join(parts[start : start + size])


_WHOLE = dict(JSON)
_STREAMED = dict(EVENTS)


async def _stream(request: web.BaseRequest, parts: tuple[bytes, ...]) -> web.StreamResponse:
    response = web.StreamResponse(headers=_STREAMED)
    with suppress(ConnectionResetError):  # the client left; aiohttp ends the connection
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        await response.write_eof()
    return response
