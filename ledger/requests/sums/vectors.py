"""Sums of requests as vectors of numbers: added without making values of them, and priced on the way.

A vector has the numbers of OUTCOMES, those of the fields of `Counts`, how many have no price, and what the
others cost in 10^-12 US dollars: whole numbers as far as the rates have no fractions in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Any

from ledger.pricing.counts import Counts
from ledger.pricing.prices import PriceBook
from ledger.pricing.rates import rate_table
from ledger.requests.answers import Totals
from ledger.requests.sums.grouping import METERED, OUTCOMES, UNMETERED, Priced
from ledger.requests.sums.histogram import Histogram

Vector = Sequence[Any]
Key = tuple[int, tuple[Any, ...]]
"""An interval and some values."""

_COUNTS = len(fields(Counts))
_NOTHING = (0,) * (_COUNTS + 2)
NO_SUMS: Vector = (0,) * (len(OUTCOMES) + _COUNTS + 2)


def outcome_vector(outcomes: Sequence[int]) -> Vector:
    """Outcomes without counts and cost."""
    return (*outcomes, *_NOTHING)


def priced_vectors(
    groups: Iterable[Priced], book: PriceBook, day_of: Callable[[int], int]
) -> dict[Key, Vector]:
    """Groups by interval and values, with what they cost.

    Args:
        day_of: the day since 1970 whose prices hold in an interval.
    """
    rates = rate_table(book)
    found: dict[Key, list[Vector]] = {}
    for g in groups:
        what = (day_of(g.interval), g.model, g.provider, g.tier, g.context_above)
        metered, unmetered = g.outcomes[METERED], g.outcomes[UNMETERED]
        pico, unpriced = rates.of_sum(*what, metered, unmetered, g.counts)
        found.setdefault((g.interval, g.values), []).append((*g.outcomes, *g.counts, unpriced, pico))
    return {key: total(vectors) for key, vectors in found.items()}


def total(vectors: Sequence[Vector]) -> Vector:
    """The sum of at least one vector."""
    return vectors[0] if len(vectors) == 1 else tuple(map(sum, zip(*vectors, strict=True)))


def merged(buckets: Iterable[Mapping[int, int]]) -> Mapping[int, int]:
    """Durations by bucket, of several."""
    found: dict[int, int] = {}
    for some in buckets:
        for bucket, number in some.items():
            found[bucket] = found.get(bucket, 0) + number
    return found


def totals_of(vector: Vector, latency: Mapping[int, int], first_token: Mapping[int, int]) -> Totals:
    """A vector as the value that answers are made of."""
    *numbers, unpriced, pico = vector
    named = dict(zip(OUTCOMES, numbers, strict=False))
    return Totals(
        **named,
        counts=Counts(*numbers[len(OUTCOMES) :]),
        usd=Decimal(pico).scaleb(-12) if pico else Decimal(0),
        unpriced=unpriced,
        latency=Histogram(latency),
        first_token=Histogram(first_token),
    )
