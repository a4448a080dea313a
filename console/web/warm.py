"""What the front page asks of a large ledger is asked once when the page starts: the first visitor does not
wait for sums that the ledger remembers from then on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from console.store import Ledger
from console.web import overview
from ledger.errors import LedgerError, TooSlow
from ledger.pricing.prices import PriceBook
from ledger.requests.filter import Dimension, RequestFilter

DAYS = (1, 7, 30)
MAX_TRIES = 30
"""Each goes on where the one before it ran out of time."""

DIMENSIONS: tuple[Dimension, ...] = ("model", "account_id", "api_key_id")
Question = Callable[[Connection, PriceBook], Any]


async def warm(ledger: Ledger) -> None:
    """Ask everything once, one question at a time; what cannot be asked is left to the visitor."""
    if not ledger.exists:
        return
    now = datetime.now(UTC)
    for days in DAYS:
        for question in _questions(RequestFilter(now - timedelta(days=days), now)):
            for _ in range(MAX_TRIES):
                try:
                    await ledger.ask(question)
                except TooSlow:
                    continue
                except LedgerError:
                    return
                break


def _questions(where: RequestFilter) -> list[Question]:
    def table(dimension: Dimension) -> Question:
        return lambda c, book: overview.table(c, book, where, dimension, {})

    return [
        lambda c, book: overview.summary(c, book, where),
        lambda c, book: overview.timeline(c, book, where),
        *map(table, DIMENSIONS),
        lambda c, book: overview.telling(c, book, where),
    ]
