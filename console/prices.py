"""What is said of prices: those in force, what changed when, and which models are used without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from ledger.cli.prices import UNPRICED_DAYS, Unpriced, toml, unpriced, used_models
from ledger.pricing.prices import DAWN, Price, PriceBook

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


def prices(connection: Connection, book: PriceBook, now: datetime) -> Prices:
    since = now - timedelta(days=UNPRICED_DAYS)
    missing = unpriced(connection, book, since)
    used = [book.find(model, now, provider) for model, provider, _, _ in used_models(connection, since)]
    unique = {(p.provider, p.model, p.effective_from, p.origin): p for p in used if p is not None}
    changed = sorted((p for p in book.prices if p.effective_from > DAWN), key=lambda p: p.effective_from)
    return Prices(
        tuple(unique.values()),
        tuple(changed[::-1][:CHANGES]),
        missing,
        "\n".join(map(toml, missing)),
    )


def named(book: PriceBook, text: str) -> tuple[Price, ...]:
    found = [p for p in book.prices if any(text in name for name in (p.model, *p.names, p.alias_of or ""))]
    return tuple(sorted(found, key=lambda p: (p.provider, p.model, p.effective_from)))
