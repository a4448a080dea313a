"""What each account has spent in the last seven days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from exporter.metrics import ACCOUNT_COST_7D, ACCOUNT_UNPRICED_7D
from exporter.samples import Samples
from ledger.cost import Spend, TokenSum, price_sums
from ledger.prices import PriceBook
from ledger.queries import account_sums, price_book

PERIOD = timedelta(days=7)


def collect(connection: Connection, now: datetime) -> tuple[Samples, ...]:
    """Read the token sums of [now - 7 days, now) and price them; `now` is aware UTC."""
    return spend(account_sums(connection, now - PERIOD, now), price_book(connection))


def spend(sums: Mapping[str, Sequence[TokenSum]], book: PriceBook) -> tuple[Samples, ...]:
    """US dollars of the priced requests by account, and beside them how many have no price."""
    spends = {account: price_sums(book, rows) for account, rows in sums.items()}
    return _dollars(spends), _unpriced(spends)


def _dollars(spends: Mapping[str, Spend]) -> Samples:
    return Samples(ACCOUNT_COST_7D, {(account,): float(s.usd) for account, s in spends.items()})


def _unpriced(spends: Mapping[str, Spend]) -> Samples:
    return Samples(ACCOUNT_UNPRICED_7D, {(account,): s.unpriced_requests for account, s in spends.items()})
