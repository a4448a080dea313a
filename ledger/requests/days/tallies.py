"""Blocks of whole hours, answered from days as arrays: filtered, grouped, added up and priced, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Table, func, select

from ledger.columns import EPOCH
from ledger.identity import Memory
from ledger.pricing.prices import PriceBook
from ledger.pricing.rates import RateTable, RowRates, rate_table
from ledger.pricing.steps import NO_TOKENS
from ledger.request_tables import FIRST_TOKEN, LATENCY, request_callers, request_kinds
from ledger.requests import billed
from ledger.requests.days.arrays import NUMBERS, Array, Day, added, distinct, positions
from ledger.requests.filter import Dimension, RequestFilter, column, texts_meeting
from ledger.requests.sources import table_of
from ledger.requests.sums.grouping import OUTCOMES, STATUSES, Measure
from ledger.requests.sums.histogram import BOUNDS

_ROOM = 2.0**62
"""10^-12 US dollars: a row that costs more is worked out without the machine's numbers."""

_DENSE = 1_000_000
"""Places for groups; where there may be more, those that occur are looked for first."""

ANY = RequestFilter()
MAX_KNOWN = 200
"""Readings of texts that are remembered for a ledger."""

_known: Memory[dict[Any, tuple[int, _Texts]]] = Memory(lambda _: {})
_OF_KIND = ("status", "model", "provider", "billed tier", "context above")
_RATES = ("input", "cached", "write", "write_1h", "output", "fee")
_TOKENS = ("input", "cached_input", "cache_write", "cache_write_1h", "output")
_COUNTS = NUMBERS[4:]
Key = tuple[int, tuple[Any, ...]]
"""The index of a block, and values."""


class Span(NamedTuple):
    """A day or a part of it, and the index of the block that each hour or slot of the day is in, -1: in none
    that is wanted. Without hours: of the block that the whole day is in."""

    day: int
    table: Day
    blocks: Sequence[int] | int


@dataclass(frozen=True, slots=True)
class _Texts:
    """What the numbers of texts stand for.

    Attributes:
        places: by number: an index into `values`; -1: it does not meet the filter.
    """

    places: Array
    values: Sequence[tuple[Any, ...]]

    def of(self, numbers: Array) -> Array:
        last = len(self.places) - 1  # it stands for numbers that are not known
        found: Array = self.places[np.minimum(numbers.astype(np.int64), last)]
        return found


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of several days that meet a filter.

    Attributes:
        columns: keys and numbers by name, with `block` and `day`.
        where: the place of each row's group, below `length`.
    """

    columns: Mapping[str, Array]
    where: Array
    length: int
    _groups: Array | None
    _sizes: Sequence[int]
    _texts: Sequence[_Texts]
    _order: Sequence[int]

    def added(self, numbers: Array, only: Array | None = None) -> Array:
        """The sum of each group."""
        if only is None:
            return added(self.where, self.length, numbers)
        return added(self.where[only], self.length, numbers[only])

    def keys(self, places: Array) -> Iterator[tuple[Key, Sequence[int]]]:
        """The block and values of groups by their places, and what else tells them apart."""
        codes, parts = places if self._groups is None else self._groups[places], []
        for size in reversed(self._sizes):
            codes, part = np.divmod(codes, size)
            parts.append(part.tolist())
        for block, *rest in zip(*reversed(parts), strict=True):
            named = [value for texts, n in zip(self._texts, rest, strict=False) for value in texts.values[n]]
            yield (block, tuple([named[n] for n in self._order])), rest[len(self._texts) :]


def sums(
    connection: Connection,
    where: RequestFilter,
    by: Sequence[Dimension],
    book: PriceBook | None,
    spans: Sequence[Span],
) -> Iterator[tuple[Key, Sequence[Any]]]:
    """The vector of each group (see `ledger.requests.sums.vectors`)."""
    rows = _rows(connection, where, by, spans, ("caller", "kind", *NUMBERS), {})
    kind = request_kinds.c
    what = (kind.status, kind.model, kind.provider, billed.billed_tier(kind), kind.context_above)
    kinds = texts_of(connection, request_kinds, dict(zip(_OF_KIND, what, strict=True)))
    of = rows.columns
    status = np.array([STATUSES.index(k[0]) if k[0] in STATUSES else -1 for k in (*kinds.values, ("",))])
    is_now = status[kinds.of(of["kind"])]
    found = [rows.added(of["requests"])]
    found += [rows.added(of["requests"], is_now == n) for n in range(len(STATUSES))]
    found += [rows.added(of[name]) for name in NUMBERS[1 : len(OUTCOMES) - len(STATUSES)]]
    if book is not None:
        found += [rows.added(of[name]) for name in _COUNTS]
    there = np.flatnonzero(found[0])
    vectors = np.stack([some[there] for some in found]).T.tolist()
    costs = [(0, 0)] * len(there) if book is None else _costs(rows, kinds, book, there)
    blank = (0,) * (0 if book else len(_COUNTS))
    for (key, _), vector, cost in zip(rows.keys(there), vectors, costs, strict=True):
        yield key, (*vector, *blank, *cost)


def durations(
    connection: Connection,
    where: RequestFilter,
    by: Sequence[Dimension],
    measure: Measure,
    spans: Sequence[Span],
) -> Iterator[tuple[Key, int, int]]:
    """Block and values, bucket, and how many durations are in it."""
    names = (
        "kind",
        "measure",
        "bucket",
        "number",
        *(("caller",) if "caller" in spans[0].table.columns else ()),
    )
    rows = _rows(connection, where, by, spans, names, {"bucket": len(BOUNDS) + 1}, _MEASURES[measure])
    numbers = rows.added(rows.columns["number"])
    there = np.flatnonzero(numbers)
    for (key, (bucket,)), number in zip(rows.keys(there), numbers[there].tolist(), strict=True):
        yield key, bucket, number


_MEASURES: Mapping[Measure, int] = {"latency": LATENCY, "first_token": FIRST_TOKEN}


def _rows(
    connection: Connection,
    where: RequestFilter,
    by: Sequence[Dimension],
    spans: Sequence[Span],
    names: Sequence[str],
    beside: Mapping[str, int],
    measure: int | None = None,
) -> _Rows:
    columns = _columns(spans, names)
    keep = columns["block"] >= 0
    if measure is not None:
        keep &= columns["measure"] == measure
    met, texts, order, places = texts_meeting(where), [], list[Dimension](), []
    for name, table in (("caller", request_callers), ("kind", request_kinds)):
        mine = [dimension for dimension in by if table_of(dimension) is table]
        if mine or table in met:
            asked: dict[str, ColumnElement[Any]] = {d: column(d, table.c) for d in mine}
            known = texts_of(connection, table, asked, met.get(table, ()), where)
            place = known.of(columns[name])
            keep &= place >= 0
            if mine:
                texts.append(known)
                places.append((place, len(known.values)))
                order += mine
    if not keep.all():
        columns = {name: some[keep] for name, some in columns.items()}
        places = [(place[keep], size) for place, size in places]
    blocks = 1 + int(columns["block"].max(initial=0))
    keys = [(columns["block"], blocks), *places, *((columns[n], size) for n, size in beside.items())]
    code, length = positions(keys)
    groups = None
    if length > max(_DENSE, 2 * len(code)):
        groups, code = distinct(code, length)
        length = len(groups)
    sizes = [size for _, size in keys]
    return _Rows(columns, code, length, groups, sizes, texts, [order.index(d) for d in by])


def _columns(spans: Sequence[Span], names: Sequence[str]) -> dict[str, Array]:
    """The columns of all days, one after the other."""
    tables, lengths = [span.table.columns for span in spans], [len(span.table) for span in spans]
    zeros = np.zeros(max(lengths), np.int8)
    found = {"block": np.concatenate([_blocks(span) for span in spans])}
    found["day"] = np.repeat([span.day for span in spans], lengths)
    for name in names:
        found[name] = np.concatenate(
            [table.get(name, zeros[: len(span.table)]) for table, span in zip(tables, spans, strict=True)]
        )
    return found


def _blocks(span: Span) -> Array:
    if isinstance(span.blocks, int):
        return np.full(len(span.table), span.blocks)
    columns = span.table.columns
    found: Array = np.array(span.blocks)[columns["slot" if "slot" in columns else "hour"]]
    return found


def texts_of(
    connection: Connection,
    table: Table,
    columns: Mapping[str, ColumnElement[Any]],
    met: Sequence[ColumnElement[bool]] = (),
    where: RequestFilter = ANY,
) -> _Texts:
    """Texts that meet the conditions of a filter, and what is asked of them; those with the same values are
    one. A text never changes: what was read is true until there is a new one."""
    known = _known.of(connection)
    key = (table.name, tuple(columns), where if met else ANY)
    last = None
    if not where.auth_file:  # a file of credentials may be another account's tomorrow
        # None is ever taken away; but a server's numbers come out of order
        newest = func.max(table.c.id) if connection.dialect.name == "sqlite" else func.count()
        last = connection.execute(select(newest).select_from(table)).scalar()
    if last is not None and (before := known.get(key)) and before[0] == last:
        return before[1]
    found = connection.execute(select(table.c.id, *columns.values()).where(*met)).fetchall()
    places = np.full(max((row[0] for row in found), default=0) + 2, -1)
    values: dict[tuple[Any, ...], int] = {}
    for number, *of in found:
        places[number] = values.setdefault(tuple(of), len(values))
    texts = _Texts(places, list(values) or [(None,) * len(columns)])
    if last is not None:
        while len(known) >= MAX_KNOWN:
            known.pop(next(iter(known)), None)
        known[key] = (last, texts)
    return texts


def _costs(rows: _Rows, kinds: _Texts, book: PriceBook, there: Array) -> list[tuple[Any, Any]]:
    """Of each group: how many have no price, and what the others cost in 10^-12 US dollars."""
    of = rows.columns
    epochs, begins = _epochs(book, of["day"])
    kind = kinds.of(of["kind"])
    table = rate_table(book)
    pairs, pair = distinct(epochs * (len(kinds.values) + 1) + kind + 1, len(begins) * (len(kinds.values) + 1))
    found = []
    for epoch, place in zip(
        *(some.tolist() for some in np.divmod(pairs, len(kinds.values) + 1)), strict=True
    ):
        of_kind = kinds.values[place - 1][1:] if place else (None, None, None, NO_TOKENS)
        found.append((begins[epoch], *of_kind))
    rates = [table.of_kind(*one) for one in found]
    whole = [rate if rate is not None and _is_whole(rate) else None for rate in rates]
    no_tokens = _flags([one[-1] == NO_TOKENS for one in found])[pair]
    priced = _flags([rate is not None for rate in rates])[pair]
    odd = priced & _flags([rate is None for rate in whole])[pair]
    for name in _COUNTS[len(_TOKENS) :]:
        odd |= of[name] != 0
    metered = of["metered"] != 0
    cost, dear = _cost(whole, pair, of)
    apart = priced & metered & (odd | dear)
    plain = priced & metered & ~apart & ~no_tokens
    unpriced = rows.added(of["unmetered"])
    unpriced += rows.added(of["metered"], ~priced | (no_tokens & ~apart))
    high, low = (rows.added(some, plain) for some in (cost >> 32, cost & 0xFFFFFFFF))
    pico = [(h << 32) + n for h, n in zip(high[there].tolist(), low[there].tolist(), strict=True)]
    numbers = unpriced[there].tolist()
    for place, more, usd in _apart(rows, there, np.flatnonzero(apart), pair, found, table):
        numbers[place] += more
        pico[place] += usd
    return list(zip(numbers, pico, strict=True))


def _flags(values: Sequence[bool]) -> NDArray[np.bool_]:
    return np.array(values, np.bool_)


def _epochs(book: PriceBook, days: Array) -> tuple[Array, list[int]]:
    """Between which changes of prices days lie, and a day of each such time."""
    changes = _changes(book)
    found: Array = np.searchsorted(np.array(changes, np.int64), days, side="right")
    return found, [min(changes, default=1) - 1, *changes]


@lru_cache(4)
def _changes(book: PriceBook) -> Sequence[int]:
    """The days on which prices change."""
    return sorted({_day(price.effective_from) for price in book.prices})


def _day(at: datetime) -> int:
    return (at - EPOCH).days


def _is_whole(rates: RowRates) -> bool:
    return all(type(getattr(rates, name)) is int and abs(getattr(rates, name)) < 2**40 for name in _RATES)


def _cost(rates: Sequence[RowRates | None], pair: Array, of: Mapping[str, Array]) -> tuple[Array, Array]:
    """What each row costs, and where that is too much for the machine's numbers."""
    by_name = {name: np.array([getattr(r, name) if r else 0 for r in rates], np.int64) for name in _RATES}
    count = dict(zip(_TOKENS, (of[name].astype(np.int64) for name in _COUNTS), strict=False))
    rate = {name: some[pair] for name, some in by_name.items()}
    terms = [
        (count["input"] - count["cached_input"], rate["input"]),
        (count["cached_input"], rate["cached"]),
        (count["output"], rate["output"]),
        (of["metered"].astype(np.int64), rate["fee"]),
    ]
    for name, own in (("cache_write", "write"), ("cache_write_1h", "write_1h")):
        if count[name].any():
            terms.append((count[name], rate[own] - rate["input"]))
    cost, most = np.zeros(len(pair), np.int64), np.zeros(len(pair))
    for number, each in terms:
        cost += number * each
        most += np.abs(number.astype(float) * each)
    return cost, most >= _ROOM


def _apart(
    rows: _Rows, there: Array, which: Array, pair: Array, kinds: Sequence[Any], table: RateTable
) -> Iterator[tuple[int, int, Any]]:
    """Rows that numbers of the machine are not made for, one by one: a place among `there`, how many have no
    price, and the cost of the others."""
    places = np.searchsorted(there, rows.where[which])
    counts = np.stack([rows.columns[name][which] for name in _COUNTS]).T.tolist()
    metered = rows.columns["metered"][which].tolist()
    for place, number, how_many, of in zip(
        places.tolist(), pair[which].tolist(), metered, counts, strict=True
    ):
        day, model, provider, tier, above = kinds[number]
        pico, unpriced = table.of_sum(day, model, provider, tier, above, how_many, 0, of)
        yield place, unpriced, pico
