"""`/export.jsonl` and `/export.csv`: exactly the requests that a page's query string means, of any number."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from aiohttp import web

from console.errors import PageError
from console.export import csv_head, csv_lines, json_lines
from console.web.context import Context
from ledger.errors import LedgerError
from ledger.requests import queries
from ledger.requests.answers import Cursor, RequestRow
from ledger.requests.filter import RequestFilter

log = logging.getLogger("quotascope.console")

STEP = 2_000
"""Rows in one short read: the ledger's writer and its log never wait for an export."""

STEP_SECONDS = 30.0
MAX_EXPORTS = 3


class ExportPages:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._running = 0

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/export.jsonl", self.jsonl), web.get("/export.csv", self.csv)]

    async def jsonl(self, request: web.Request) -> web.StreamResponse:
        return await self._export(request, "application/x-ndjson", "jsonl", "", json_lines)

    async def csv(self, request: web.Request) -> web.StreamResponse:
        return await self._export(request, "text/csv", "csv", csv_head(), csv_lines)

    async def _export(
        self,
        request: web.Request,
        kind: str,
        ending: str,
        head: str,
        lines: Callable[[Iterable[RequestRow]], str],
    ) -> web.StreamResponse:
        chosen = self._context.selection(request)
        if self._running >= MAX_EXPORTS:
            raise PageError(503, f"{MAX_EXPORTS} exports are running; wait for one of them to end")
        self._running += 1
        try:
            rows = await self._step(chosen.where, None)
            name = f"requests-{chosen.range.since:%Y%m%dT%H%MZ}-{chosen.range.until:%Y%m%dT%H%MZ}.{ending}"
            response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}"'})
            response.content_type, response.charset = kind, "utf-8"
            await response.prepare(request)
            if head:
                await response.write(head.encode())
            await self._rest(request, response, chosen.where, rows, lines)
            return response
        finally:
            self._running -= 1

    async def _rest(
        self,
        request: web.Request,
        response: web.StreamResponse,
        where: RequestFilter,
        rows: list[RequestRow],
        lines: Callable[[Iterable[RequestRow]], str],
    ) -> None:
        """Send what was read, read on; where that fails the connection is cut, so that nobody takes a part
        for the whole."""
        try:
            while rows:
                text = await asyncio.to_thread(lines, rows)
                await response.write(text.encode("utf-8", "replace"))
                rows = await self._step(where, rows[-1].cursor) if len(rows) == STEP else []
            await response.write_eof()
        except LedgerError as error:
            log.warning("an export was cut off: %s", error)
            if request.transport is not None:
                request.transport.abort()

    async def _step(self, where: RequestFilter, after: Cursor | None) -> list[RequestRow]:
        return list(
            await self._context.ledger.ask(
                lambda c, book: queries.page_rows(c, where, book, older_than=after, size=STEP),
                seconds=STEP_SECONDS,
            )
        )
