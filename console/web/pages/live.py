"""`/live`: new requests as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

from aiohttp import web

from console.errors import ChoiceError
from console.web import columns
from console.web.access import VISITOR
from console.web.context import Context
from console.web.feed import Batch, Feed
from ledger.requests.answers import RequestRow

MAX_STREAMS = 200
ALIVE_SECONDS = 15.0
MIN_PAUSE_SECONDS = 0.4
"""Between two batches to one page: nobody reads faster."""


class LivePages:
    def __init__(self, context: Context, feed: Feed) -> None:
        self._context, self._feed = context, feed
        self._open: set[asyncio.Task[object]] = set()

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/live", self.live)]

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Rows that meet the page's conditions, for as long as it is open."""
        chosen = self._context.selection(request, "after")
        after = _id(request.headers.get("Last-Event-ID") or request.query.get("after", "0"))
        if len(self._open) >= MAX_STREAMS:
            return web.Response(status=503, text="too many open pages\n", headers={"Retry-After": "10"})
        shown = columns.chosen(request)

        def write(rows: tuple[RequestRow, ...], left_out: int) -> str:
            html = self._context.pages.fragment(
                request, "rows.html", rows=rows, columns=shown, here=chosen, target="/"
            )
            return json.dumps({"rows": len(rows), "left_out": left_out, "html": html})

        key = f"{chosen.query}|{'.'.join(column.name for column in shown)}|{request.get(VISITOR)}"
        where = chosen.where.between(chosen.where.since, None)
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        task = asyncio.current_task()
        if task is not None:
            self._open.add(task)
        try:
            async with aclosing(self._feed.follow(key, where, after, write)) as batches:
                await self._send(response, batches)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            if task is not None:
                self._open.discard(task)
        return response

    async def _send(self, response: web.StreamResponse, batches: AsyncGenerator[Batch]) -> None:
        await response.write(b"retry: 2000\n\n")
        waiting: asyncio.Task[Batch] | None = None
        try:
            while True:
                waiting = waiting or asyncio.ensure_future(anext(batches))
                done, _ = await asyncio.wait((waiting,), timeout=ALIVE_SECONDS)
                if not done:
                    await response.write(b": alive\n\n")
                    continue
                batch, waiting = waiting.result(), None
                await response.write(f"id: {batch.last_id}\nevent: rows\ndata: {batch.text}\n\n".encode())
                await asyncio.sleep(MIN_PAUSE_SECONDS)
        finally:
            if waiting is not None:
                waiting.cancel()
                with suppress(asyncio.CancelledError, StopAsyncIteration):
                    await waiting

    async def end(self) -> None:
        """Close what is open: a page opens it again when the server is back."""
        for task in self._open:
            task.cancel()


def _id(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise ChoiceError(f"after = {text[:20]!r}: allowed: the id of a row")
    return int(text)
