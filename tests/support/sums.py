"""Sums made plainly, one by one, to hold the ledger's against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ledger.pricing.cost import Spend, TokenSum, price_sum
from ledger.pricing.prices import PriceBook
from ledger.requests.sums.histogram import Histogram, bucket


def price_sums(book: PriceBook, rows: Iterable[TokenSum]) -> Spend:
    """The spend of many sums together."""
    return sum((price_sum(book, row) for row in rows), Spend())


def histogram_of(durations: Iterable[float]) -> Histogram:
    """The histogram of some durations in milliseconds."""
    return Histogram(dict(Counter(map(bucket, durations))))
