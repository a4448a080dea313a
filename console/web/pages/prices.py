"""`/prices`: what is in force, what changed when, and which models are used without a price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from console.web.context import Context
from ledger.cli.prices import UNPRICED_DAYS, Unpriced, toml, unpriced
from ledger.pricing.prices import DAWN, Price, PriceBook
from ledger.requests import queries
from ledger.requests.filter import RequestFilter

MAX_SHOWN = 200
CHANGES = 30


@dataclass(frozen=True, slots=True)
class Prices:
    """What the page shows.

    Attributes:
        used: of models that were used in the last 30 days.
        changed: prices that came into force one after another, the latest first.
        unpriced: models that were used without a price.
        lines: what to paste for them.
    """

    used: tuple[Price, ...]
    changed: tuple[Price, ...]
    unpriced: Sequence[Unpriced]
    lines: str


class PricePages:
    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/prices", self.page)]

    async def page(self, request: web.Request) -> web.Response:
        """Everything about prices; with `model`, all prices whose name holds a text."""
        now, text = datetime.now(UTC), request.query.get("model", "").strip().lower()[:100]
        found = await self._context.ledger.ask(lambda c, book: _prices(c, book, now))
        named = _named(self._context.ledger.book, text) if text else found.used
        values: dict[str, Any] = {
            "found": found,
            "named": named[:MAX_SHOWN],
            "hidden": max(0, len(named) - MAX_SHOWN),
            "text": text,
            "all": len(self._context.ledger.book.prices),
            "days": UNPRICED_DAYS,
            "dawn": DAWN,
        }
        return self._context.pages.page(request, "prices.html", **values)


def _prices(connection: Connection, book: PriceBook, now: datetime) -> Prices:
    since = now - timedelta(days=UNPRICED_DAYS)
    missing = unpriced(connection, book, since)
    models = queries.values(connection, RequestFilter(since, now), "model", most=MAX_SHOWN)
    used = [book.find(str(model), now) for model, _ in models if model]
    unique = {(p.provider, p.model, p.effective_from, p.origin): p for p in used if p is not None}
    changed = sorted((p for p in book.prices if p.effective_from > DAWN), key=lambda p: p.effective_from)
    return Prices(
        tuple(unique.values()),
        tuple(changed[::-1][:CHANGES]),
        missing,
        "\n".join(map(toml, missing)),
    )


def _named(book: PriceBook, text: str) -> tuple[Price, ...]:
    found = [p for p in book.prices if any(text in name for name in (p.model, *p.names, p.alias_of or ""))]
    return tuple(sorted(found, key=lambda p: (p.provider, p.model, p.effective_from)))
