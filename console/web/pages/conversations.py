"""`/conversations`: the requests of one session together."""

from __future__ import annotations

from aiohttp import web

from console.conditions import Selection
from console.web.context import Context
from console.web.pages.frame import frame
from console.web.pages.health import empty_view
from ledger.requests.answers import Cursor
from ledger.requests.sessions import sessions

PAGE_SIZE = 50


class ConversationPages:
    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/conversations", self.list)]

    async def list(self, request: web.Request) -> web.Response:
        """Those with a request that meets the conditions, the newest first."""
        before = request.query.get("before")
        cursor = Cursor.parse(before) if before else None
        chosen = self._context.selection(request, "before")
        head, foot = frame(self._context, request, chosen, title="Conversations")
        part = await self._context.part(
            request, "Conversations", lambda: self._table(request, chosen, cursor)
        )
        return web.Response(text=head + part + foot, content_type="text/html")

    async def _table(self, request: web.Request, chosen: Selection, cursor: Cursor | None) -> str:
        page = await self._context.ledger.ask(
            lambda c, book: sessions(c, chosen.where, book, size=PAGE_SIZE, older_than=cursor)
        )
        values = {"page": page, "here": chosen, "newest": cursor is not None}
        text = self._context.pages.fragment(request, "part_conversations.html", **values)
        if not page.sessions and page.older is None and cursor is None:
            text += await empty_view(self._context, request, chosen)
        return text
