"""Mergeable histograms of durations: percentiles of many rows without keeping the rows."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate

from sqlalchemy import ColumnElement, case, literal

STEPS_PER_DOUBLING = 4
BOUNDS = tuple(round(2 ** (step / STEPS_PER_DOUBLING), 3) for step in range(88))
"""Upper bounds in milliseconds, included, from 1 ms to about an hour, each 19 % above the one before. A
percentile is therefore off by less than that; the last bucket is open."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many durations fell into each bucket.

    Attributes:
        buckets: number of durations by index of the bucket: it holds those above BOUNDS[index - 1], and up
            to BOUNDS[index].
    """

    buckets: Mapping[int, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(self.buckets.values())

    def __add__(self, other: Histogram) -> Histogram:
        if not (self.buckets and other.buckets):
            return self if self.buckets else other
        found = dict(self.buckets)
        for index, number in other.buckets.items():
            found[index] = found.get(index, 0) + number
        return Histogram(found)

    def quantile(self, q: float) -> float | None:
        """The value in milliseconds that a share of q (0 to 1) is at or below; None where there is nothing.
        Within a bucket, values are taken to be spread evenly."""
        if not self.count:
            return None
        ordered = sorted(self.buckets.items())
        rank, sums = q * self.count, list(accumulate(number for _, number in ordered))
        place = min(bisect_left(sums, rank), len(ordered) - 1)
        index, number = ordered[place]
        low = BOUNDS[index - 1] if index else 0.0
        high = BOUNDS[min(index, len(BOUNDS) - 1)]
        return low + (high - low) * (rank - (sums[place] - number)) / number if high > low else low


def bucket(milliseconds: float) -> int:
    """The index of the bucket of a duration."""
    return bisect_left(BOUNDS, milliseconds)


@lru_cache(8)
def bucket_column(duration: ColumnElement[float]) -> ColumnElement[int]:
    """`bucket` of a column, found as a search tree does: seven comparisons a row."""
    return _between(duration, 0, len(BOUNDS))


def _between(duration: ColumnElement[float], low: int, high: int) -> ColumnElement[int]:
    if low == high:
        return literal(low)
    middle = (low + high) // 2
    return case(
        (duration <= BOUNDS[middle], _between(duration, low, middle)),
        else_=_between(duration, middle + 1, high),
    )
