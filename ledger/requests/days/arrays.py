"""A UTC day, or an hour of it, as arrays of numbers: read once, they answer every question about that time.

Grouping and pricing some ten thousand rows of numbers takes a millisecond here; in SQL and in Python objects
it takes a hundred, and every question pays again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ledger.request_tables import COUNT_COLUMNS
from ledger.requests.sums.histogram import BOUNDS
from ledger.requests.sums.rollups import DAY_HOURS, SLOTS

Array = NDArray[Any]
"""Numbers, whole ones in as few bytes as they fit into."""

Grain = Literal["slot", "hour", "day"]
"""How far moments are told apart."""

NUMBERS = ("requests", "metered", "unmetered", "reasoning_tokens", *COUNT_COLUMNS.values())

_MOST = {"slot": DAY_HOURS * SLOTS, "hour": DAY_HOURS, "measure": 2, "bucket": len(BOUNDS) + 1}
_KEYS = ("slot", "hour", "caller", "kind", "measure", "bucket")

_DENSE = 4_000_000
"""Groups that may be there; of more, those that are there are found by sorting."""


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """Rows of numbers, column by column; of sums and durations, rows that share all keys are one.

    Attributes:
        columns: by name; one that is missing is zero throughout. `slot` and `hour` are those of the UTC day.
        is_mapped: it lies in a file, and takes no memory.
    """

    columns: Mapping[str, Array]
    is_mapped: bool = False

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return 1_000 if self.is_mapped else sum(some.nbytes for some in self.columns.values()) + 1_000

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def by(self, grain: Grain) -> Day:
        """Rows of the same time added up."""
        if grain in self.columns:
            return self
        columns = {n: some for n, some in self.columns.items() if n not in ("slot", "hour")}
        if grain == "hour":
            columns = {"hour": self.columns["slot"] // SLOTS, **columns}
        return grouped(columns)


def positions(keys: Sequence[tuple[Array, int]]) -> tuple[Array, int]:
    """Several keys as one number, and how many there may be.

    Args:
        keys: with how many values each may have, from 0.
    """
    found, length = keys[0][0].astype(np.int64), keys[0][1]
    for key, size in keys[1:]:
        found *= size
        found += key
        length *= size
    return found, length


def added(where: Array, length: int, numbers: Array) -> Array:
    """Exact sums of numbers by their places."""
    sums = np.zeros(length, np.int64)
    np.add.at(sums, where, numbers.astype(np.int64, copy=False))
    return sums


def grouped(columns: Mapping[str, Array]) -> Day:
    """Rows that share their keys, added up."""
    keys = [name for name in _KEYS if name in columns]
    sizes = [_MOST.get(name, 0) or int(columns[name].max(initial=0)) + 1 for name in keys]
    code, length = positions([(columns[name], size) for name, size in zip(keys, sizes, strict=True)])
    groups, where = distinct(code, length)
    count, found = len(groups), dict[str, Array]()
    for name, size in reversed(list(zip(keys, sizes, strict=True))):
        groups, key = np.divmod(groups, size)
        found[name] = small(key)
    found = {name: found[name] for name in keys}
    for name, numbers in columns.items():
        if name not in found:
            found[name] = small(added(where, count, numbers))
    return Day(found)


def distinct(code: Array, length: int) -> tuple[Array, Array]:
    """The different ones of some numbers in their order, and which of them each number is.

    Args:
        length: all are below it.
    """
    if length > _DENSE:
        groups, where = np.unique(code, return_inverse=True)
        return groups, where
    is_there = np.zeros(length, np.bool_)
    is_there[code] = True
    return np.flatnonzero(is_there), (np.cumsum(is_there) - 1)[code]


def small(numbers: Array) -> Array:
    """The same in as few bytes as they fit into; fractions as they are."""
    if numbers.dtype.kind == "f":
        return numbers
    low, high = int(numbers.min(initial=0)), int(numbers.max(initial=0))
    fits = (t for t in (np.int8, np.int16, np.int32) if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return numbers.astype(next(fits, np.int64))
