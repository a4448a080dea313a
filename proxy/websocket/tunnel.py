"""Two connections joined after a protocol switch: raw bytes pass both ways, each through a sieve."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

Sieve = Callable[[bytes], bytes]
"""Takes the bytes of one side as they come, gives those that go on to the other; must not raise."""

Ready = Callable[[], Coroutine[Any, Any, None]]
"""Called before bytes of the client pass; must not raise."""

Parting = Callable[[], Coroutine[Any, Any, bytes]]
"""Waits until the connection is to be ended from here; gives the last bytes for the client."""

Side = Literal["client", "upstream"]

MAX_WAITING = 256 * 1024
"""Bytes that wait for a slow reader before the other side is no longer read."""

PARTING_SECONDS = 5.0
"""How long the two ends have for their own last words, once the client has got ours."""


class Pipe:
    """One direction. aiohttp feeds it like one of its own parsers once a connection has switched.

    Args:
        source, sink: the two connections.
    """

    def __init__(self, source: Any, sink: Any, sieve: Sieve, ready: Ready | None = None) -> None:
        self._source = source
        self._sink = sink
        self._sieve = sieve
        self._ready = ready
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._wake = asyncio.Event()
        self._ended = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Bytes from the source."""
        self._chunks.append(bytes(data))
        self._waiting += len(data)
        if self._waiting > MAX_WAITING and self._source.transport is not None:
            self._source.transport.pause_reading()
        self._wake.set()
        return False, b""

    def feed_eof(self) -> None:
        """The source has closed."""
        self._ended = True
        self._wake.set()

    async def run(self) -> None:
        """Pass bytes on until the source ends or the sink is gone."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            data, self._chunks, self._waiting = b"".join(self._chunks), [], 0
            if data:
                if self._ready is not None:
                    await self._ready()
                passing = self._sieve(data)
                if self._sink.transport is None or self._sink.transport.is_closing():
                    return
                self._sink.transport.write(passing)
                await self._sink.drain()
                if self._source.transport is not None:
                    self._source.transport.resume_reading()
            if self._ended and not self._chunks:
                return


async def join(
    client: Any,
    upstream: Any,
    from_client: Sieve,
    from_upstream: Sieve,
    parting: Parting | None = None,
    ready: Ready | None = None,
) -> Side:
    """Pass bytes both ways until one side closes, then close the other; returns who closed first.

    Args:
        client, upstream: connections that have both switched.
    """
    up, down = Pipe(client, upstream, from_client, ready), Pipe(upstream, client, from_upstream)
    client.set_parser(up)
    upstream.set_parser(down, None)
    tasks = {asyncio.create_task(up.run()): "client", asyncio.create_task(down.run()): "upstream"}
    if parting is not None:
        tasks[asyncio.create_task(_part(client, parting))] = "upstream"
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return "client" if any(tasks[task] == "client" for task in done) else "upstream"
    finally:
        for task in tasks:
            task.cancel()
        for protocol in (client, upstream):
            if protocol.transport is not None:
                protocol.transport.close()


async def _part(client: Any, parting: Parting) -> None:
    """End the connection from here. A connection that is closed while bytes of the client arrive is reset,
    and takes our last bytes with it; so the client is the one to close first."""
    last = await parting()
    if client.transport is not None:
        client.transport.write(last)
        await asyncio.sleep(PARTING_SECONDS)
