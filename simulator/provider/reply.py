"""One answer on its way out: writes it, paces it, breaks it where the script says, and remembers it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from aiohttp import web

from ledger.values import NO_USAGE, Usage
from simulator.provider.coding import Encoder, encode, encoder
from simulator.provider.log import Exchange
from simulator.provider.script import Coding, Cut, Hang, Pace, Wire
from simulator.provider.sse import Event

Headers = tuple[tuple[str, str], ...]


class Reply:
    """The answer to one request.

    Attributes:
        exchange: what has been done so far; complete once the answer is.
        response: what the handler returns to aiohttp, however far it got.
    """

    def __init__(
        self, request: web.Request, exchange: Exchange, stopping: asyncio.Event, keep_bytes: bool
    ) -> None:
        self.exchange = exchange
        self._request = request
        self._stopping = stopping
        self._sent: bytearray | None = bytearray() if keep_bytes else None
        self.response = web.StreamResponse()

    async def whole(
        self,
        status: int,
        body: bytes,
        headers: Headers,
        coding: Coding = "identity",
        *,
        usage: Usage = NO_USAGE,
        fault: Cut | Hang | None = None,
    ) -> web.StreamResponse:
        """An answer of known length; a fault strikes when all is announced and the first half is sent."""
        data = encode(coding, body)
        await self._start(status, headers, coding, len(data))
        await self._write(data[: len(data) // 2] if fault else data)
        if fault is not None:
            return await self.struck(fault)
        self.exchange = replace(self.exchange, usage=usage)
        return await self._finish()

    async def stream(
        self, steps: Iterable[Event | Cut | Hang], headers: Headers, wire: Wire, pace: Pace
    ) -> web.StreamResponse:
        """A stream of events, each flushed as it comes, with the pauses and the fault of the script."""
        coder = encoder(wire.coding)
        await self._start(200, headers, wire.coding)
        for place, step in enumerate(steps):
            await asyncio.sleep(pace.between if place else pace.first)
            if isinstance(step, Cut | Hang):
                return await self.struck(step)
            await self._event(step, coder, wire.split)
        await self._write(coder.end())
        return await self._finish()

    async def struck(self, fault: Cut | Hang) -> web.StreamResponse:
        """Close the connection under the answer, at once or when the client has left or the upstream
        stops: what is written arrives, its end does not."""
        if isinstance(fault, Hang):
            await self._stopping.wait()
        if self._request.transport is not None:
            self._request.transport.close()
        return self.response

    def result(self) -> Exchange:
        return replace(self.exchange, sent=bytes(self._sent or b""))

    async def _start(self, status: int, headers: Headers, coding: Coding, length: int | None = None) -> None:
        self.response.set_status(status)
        for name, value in headers:
            self.response.headers.add(name, value)
        if coding != "identity":
            self.response.headers["Content-Encoding"] = coding
        self.response.content_length = length
        await self.response.prepare(self._request)
        kept = tuple(self.response.headers.items()) if self._sent is not None else ()
        self.exchange = replace(self.exchange, status=status, headers=kept)

    async def _event(self, event: Event, coder: Encoder, split: int | None) -> None:
        data = coder.push(event.data)
        for start in range(0, len(data), split or max(1, len(data))):
            await self._write(data[start : start + split] if split else data)
        if event.tells is not None:
            self.exchange = replace(self.exchange, usage=event.tells)

    async def _write(self, data: bytes) -> None:
        if data:
            await self.response.write(data)
            if self._sent is not None:
                self._sent += data

    async def _finish(self) -> web.StreamResponse:
        await self.response.write_eof()
        self.exchange = replace(self.exchange, complete=True)
        return self.response
