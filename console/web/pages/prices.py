"""`/prices`: what is in force, what changed when, and which models are used without a price."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from console.prices import MAX_SHOWN, named, prices
from console.web.context import Context
from ledger.cli.prices import UNPRICED_DAYS
from ledger.pricing.prices import DAWN


class PricePages:
    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/prices", self.page)]

    async def page(self, request: web.Request) -> web.Response:
        """Everything about prices; with `model`, all prices whose name holds a text."""
        now, text = datetime.now(UTC), request.query.get("model", "").strip().lower()[:100]
        found = await self._context.ledger.ask(lambda c, book: prices(c, book, now))
        shown = named(self._context.ledger.book, text) if text else found.used
        values: dict[str, Any] = {
            "found": found,
            "named": shown[:MAX_SHOWN],
            "hidden": max(0, len(shown) - MAX_SHOWN),
            "text": text,
            "all": len(self._context.ledger.book.prices),
            "days": UNPRICED_DAYS,
            "dawn": DAWN,
        }
        return self._context.pages.page(request, "prices.html", **values)
