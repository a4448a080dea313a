"""`/`: the overview of requests, streamed part by part; its parts alone, for what keeps itself fresh; older
requests, and one request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from console.conditions import CONDITIONS, Selection, written
from console.errors import ChoiceError, PageError
from console.formats import short
from console.request import reason, taken_apart, tokens
from console.web import columns, overview
from console.web.access import form_of, own_path
from console.web.context import Context
from console.web.pages.frame import frame
from console.web.pages.health import empty_view
from console.web.shared import Shared
from console.web.words import LABELS
from ledger.pricing.prices import PriceBook
from ledger.requests import queries
from ledger.requests.answers import Cursor
from ledger.requests.auth_files import auth_files
from ledger.requests.filter import DIMENSIONS, Dimension

PAGE_SIZE = 50
SHARED_SECONDS = 5.0
"""How old the cards of an open page may be when it asks for them again: it does so every ten seconds."""

MAX_ID = 2**63 - 1

TABLES: tuple[tuple[Dimension, str, str, str], ...] = (
    ("account_id", "Account overview", "/accounts/", "Account"),
    ("api_key_id", "API key summary", "/keys?name=", "Key"),
    ("model", "Models", "", ""),
)


class RequestPages:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._ledger, self._pages = context.ledger, context.pages
        self._shared = Shared(SHARED_SECONDS)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self.front),
            web.get("/requests", self.older),
            web.get("/requests/{id:\\d{1,19}}", self.request),
            web.get("/part/summary", self.summary),
            web.get("/part/values", self.values),
            web.post("/columns", self.columns),
        ]

    async def front(self, request: web.Request) -> web.StreamResponse:
        """All parts are asked for at once, and sent in their order as soon as each is there."""
        chosen = self._context.selection(request)
        head, foot = frame(self._context, request, chosen, title="Requests")
        return await self._pages.stream(
            request, web.StreamResponse(), self._parts(request, chosen, head, foot)
        )

    async def _parts(
        self, request: web.Request, chosen: Selection, head: str, foot: str
    ) -> AsyncIterator[str]:
        yield head
        tasks = [asyncio.ensure_future(part) for part in self._made(request, chosen)]
        try:
            for task in tasks:
                yield await task
        finally:
            for task in tasks:
                task.cancel()
        yield foot

    def _made(self, request: web.Request, chosen: Selection) -> list[Awaitable[str]]:
        def part(title: str, made: Any) -> Awaitable[str]:
            return self._context.part(request, title, made)

        summed: asyncio.Task[overview.Summary] = asyncio.ensure_future(self._summary(chosen))
        summed.add_done_callback(lambda task: task.cancelled() or task.exception())
        return [
            part("Summary", lambda: self._cards(request, chosen, summed)),
            part("Requests over time", lambda: self._timeline(request, chosen)),
            part("Failures", lambda: self._failures(request, chosen, summed)),
            *(part(table[1], lambda table=table: self._table(request, chosen, *table)) for table in TABLES),
            part("Realtime requests", lambda: self._rows(request, chosen)),
        ]

    async def _summary(self, chosen: Selection) -> overview.Summary:
        return await self._ledger.ask(lambda c, book: overview.summary(c, book, chosen.where))

    async def _cards(
        self, request: web.Request, chosen: Selection, summed: asyncio.Task[overview.Summary]
    ) -> str:
        found = await asyncio.shield(summed)
        text = self._pages.fragment(request, "part_summary.html", cards=found.cards, here=chosen)
        if found.now.requests == 0:
            text += await empty_view(self._context, request, chosen)
        return text

    async def _timeline(self, request: web.Request, chosen: Selection) -> str:
        bars = await self._ledger.ask(lambda c, book: overview.timeline(c, book, chosen.where))
        return self._pages.fragment(request, "part_timeline.html", bars=bars, here=chosen)

    async def _failures(
        self, request: web.Request, chosen: Selection, summed: asyncio.Task[overview.Summary]
    ) -> str:
        found = await self._ledger.ask(lambda c, book: overview.telling(c, book, chosen.where))
        sums = (await asyncio.shield(summed)).now
        grafana = self._context.settings.rules.dashboard_base_url
        steps = overview.next_steps(chosen, sums, found, grafana)
        values = {"found": found, "sums": sums, "steps": steps, "here": chosen, "labels": LABELS}
        return self._pages.fragment(request, "part_failures.html", **values)

    async def _table(
        self,
        request: web.Request,
        chosen: Selection,
        dimension: Dimension,
        title: str,
        next_address: str,
        next_label: str,
    ) -> str:
        def asked(connection: Connection, book: PriceBook) -> overview.Table:
            notes = overview.account_statuses(connection) if dimension == "account_id" else {}
            return overview.table(connection, book, chosen.where, dimension, notes)

        table = await self._ledger.ask(asked)
        return self._pages.fragment(
            request,
            "part_table.html",
            table=table,
            title=title,
            labels=LABELS,
            here=chosen,
            next_address=next_address,
            next_label=next_label,
        )

    async def _rows(self, request: web.Request, chosen: Selection, before: Cursor | None = None) -> str:
        def asked(connection: Connection, book: PriceBook) -> tuple[int, Any]:
            # The id first: what comes in between is sent again rather than missed.
            last = queries.last_id(connection)
            return last, queries.page(connection, chosen.where, book, size=PAGE_SIZE, older_than=before)

        last, page = await self._ledger.ask(asked)
        live = chosen.range.follows and before is None
        return self._pages.fragment(
            request,
            "part_requests.html",
            title="Realtime requests" if live else "Requests",
            rows=page.rows,
            page=page,
            live=live,
            newest=before is not None,
            last_id=last,
            columns=columns.chosen(request),
            all_columns=columns.COLUMNS,
            here=chosen,
            target="/",
        )

    async def older(self, request: web.Request) -> web.StreamResponse:
        before = request.query.get("before")
        cursor = Cursor.parse(before) if before else None
        chosen = self._context.selection(request, "before")
        head, foot = frame(self._context, request, chosen, title="Requests", path="/")
        text = await self._context.part(request, "Requests", lambda: self._rows(request, chosen, cursor))
        return web.Response(text=head + text + foot, content_type="text/html")

    async def summary(self, request: web.Request) -> web.Response:
        chosen = self._context.selection(request)

        async def made() -> str:
            found = await self._summary(chosen)
            return self._pages.fragment(request, "part_summary.html", cards=found.cards, here=chosen)

        text = await self._shared.get(chosen.query, made)
        return web.Response(text=text, content_type="text/html")

    async def values(self, request: web.Request) -> web.Response:
        dimension = request.query.get("of", "")
        if dimension == "auth_file":
            names = await self._ledger.ask(lambda c, _book: auth_files(c))
            shown = [(written(name), f"{number} accounts") for name, number in names]
            return self._pages.page(request, "part_values.html", values=shown)
        if dimension not in DIMENSIONS:
            raise ChoiceError(f"of = {dimension[:40]!r}: allowed: auth_file, {', '.join(DIMENSIONS)}")
        chosen = self._context.selection(request, "of", *CONDITIONS)
        asked = dimension
        found = await self._ledger.ask(lambda c, _book: queries.values(c, chosen.where, asked))
        shown = [(written(value), f"{short(number)} requests") for value, number in found]
        # A list cannot show what turns the order of letters; a click on such a value still filters by it
        shown = [one for one in shown if one[0].isprintable()]
        return self._pages.page(request, "part_values.html", values=shown)

    async def request(self, request: web.Request) -> web.Response:
        """One request: a panel beside the list, or a page of its own."""
        number = min(int(request.match_info["id"]), MAX_ID)

        found = await self._ledger.ask(lambda c, book: taken_apart(c, book, number))
        if found is None:
            raise PageError(404, "there is no such request, or it was removed by retention")
        detail, price, body_is_kept = found
        template = "part_request.html" if request.headers.get("HX-Request") else "request.html"
        day = timedelta(days=1)
        return self._pages.page(
            request,
            template,
            detail=detail,
            price=price,
            body_is_kept=body_is_kept,
            reason=reason(price),
            tokens=tokens(detail.row),
            day_before=_epoch(detail.row.requested_at - 7 * day),
            day_after=_epoch(min(detail.row.requested_at + day, datetime.now(UTC))),
        )

    async def columns(self, request: web.Request) -> web.Response:
        """Remember which columns this browser shows."""
        form = await form_of(request)
        wanted = columns.ordered(str(name) for name in form.getall("column", []))
        response = web.HTTPSeeOther(own_path(str(form.get("next", "/"))))
        value = "" if form.get("usual") else ".".join(column.name for column in wanted)
        secure = self._context.access.secure
        response.set_cookie(
            columns.COOKIE,
            value,
            max_age=31_536_000,
            httponly=True,
            samesite="Strict",
            secure=secure,
            path="/",
        )
        return response


def _epoch(at: datetime) -> int:
    return int(at.timestamp() * 1000)
