"""Which rows of a day as arrays meet a filter, where only rows can tell: by their durations, the state of the
cache, and texts, of which each that is stored once is looked at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import get_args

import numpy as np
from sqlalchemy import ColumnElement, Connection, Table, Text, and_, cast, func, select

from ledger.request_tables import FIRST_TOKEN, LATENCY
from ledger.requests.days.arrays import NUMBERS, Array, Day
from ledger.requests.days.kept_days import What
from ledger.requests.filter import CacheState, RequestFilter, texts_having, texts_meeting
from ledger.requests.sources import key_of
from ledger.requests.sums.histogram import BOUNDS
from ledger.requests.sums.rollups import SLOT

STATES: tuple[CacheState, ...] = get_args(CacheState)
NONE = 0
"""The number of the session of a row that has none."""

MAX_KNOWN = 200
"""Conditions on texts that are remembered."""

ID_DIGITS = 32
_NOTHING = np.zeros(0, np.bool_)
_MEASURES = {"latency": LATENCY, "first_token": FIRST_TOKEN}


@dataclass(slots=True)
class Texts:
    """Which texts meet conditions, by their numbers. A number that was given out keeps its text, so that only
    those need a look that were not there before: in SQLite larger ones, on a server any."""

    _known: dict[tuple[Table, RequestFilter, bool], tuple[Array, Array]] = field(default_factory=dict)
    _there: dict[Table, Array] = field(default_factory=dict)

    def meeting(self, connection: Connection, where: RequestFilter) -> dict[Table, _Flags]:
        """Of each table that the filter has conditions on."""
        return {t: _Flags(self, connection, t, where, and_(*met)) for t, met in texts_meeting(where).items()}

    def having(self, connection: Connection, where: RequestFilter) -> dict[Table, _Flags]:
        """Those that contain the filter's text, of each table."""
        of = RequestFilter(text=where.text)
        return {t: _Flags(self, connection, t, of, met) for t, met in texts_having(where.text).items()}

    def flags(self, of: _Flags, numbers: Array) -> Array:
        """Of each of some numbers."""
        key = (of.table, of.where, bool(of.where.text))
        there, flags = self._known.get(key, (_NOTHING, _NOTHING))
        if not _holds(there, numbers):
            first = len(flags) if of.connection.dialect.name == "sqlite" else 0
            there = self._all_there(of, numbers)  # before it is asked which of them meet the condition
            number = of.table.c.id
            met = of.connection.execute(select(number).where(of.met, number >= first, number < len(there)))
            flags = np.append(flags[:first], np.zeros(len(there) - first, np.bool_))
            flags[[n for (n,) in met]] = True
            while len(self._known) >= MAX_KNOWN:
                self._known.pop(next(iter(self._known)), None)
            self._known[key] = (there, flags)
        found: Array = flags[numbers]
        return found

    def _all_there(self, of: _Flags, numbers: Array) -> Array:
        """By number whether there is such a text, or never will be one; at least for the given ones."""
        there = self._there.get(of.table, _NOTHING)
        if _holds(there, numbers):
            return there
        number, last = of.table.c.id, int(numbers.max(initial=0))
        if of.connection.dialect.name == "sqlite":
            top = max(last, of.connection.execute(select(func.max(number))).scalar() or 0)
            there = np.ones(top + 1, np.bool_)
        else:
            # One text: as rows they would take ten times as long
            listed = func.string_agg(cast(number, Text), ",")
            text = of.connection.execute(select(listed)).scalar() or str(NONE)
            found = np.fromstring(text, np.int64, sep=",")
            there = np.zeros(max(last, int(found.max())) + 1, np.bool_)
            there[found] = True
            there[NONE] = True
        self._there[of.table] = there
        return there


@dataclass(frozen=True, slots=True)
class _Flags:
    """Which texts of a table meet a condition."""

    texts: Texts
    connection: Connection
    table: Table
    where: RequestFilter
    met: ColumnElement[bool]

    def of(self, rows: Day) -> Array:
        """Of each row."""
        numbers = rows.columns[_COLUMNS[key_of(self.table)]]
        return self.texts.flags(self, numbers)


def _holds(there: Array, numbers: Array) -> bool:
    return len(there) > numbers.max(initial=0) and bool(there[numbers].all())


_COLUMNS = {"caller_id": "caller", "kind_id": "kind", "detail_id": "detail", "session_number": "session"}


def chosen(connection: Connection, texts: Texts, rows: Day, own: Day | None, where: RequestFilter) -> Array:
    """The places of the rows that meet a filter, whatever its times.

    Args:
        own: the rows' own texts, where the filter has a text.
    """
    keep = np.ones(len(rows), np.bool_)
    for flags in texts.meeting(connection, where).values():
        keep &= flags.of(rows)
    if where.cache:
        keep &= np.isin(rows.columns["cache"], [STATES.index(state) for state in where.cache])
    for name in _MEASURES:
        low, high = getattr(where, f"min_{name}_ms"), getattr(where, f"max_{name}_ms")
        if low is not None:
            keep &= rows.columns[name] >= low
        if high is not None:
            keep &= rows.columns[name] <= high
    if own is not None:
        has = np.isin(rows.columns["id"], _having(own, where.text))
        for flags in texts.having(connection, where).values():
            has |= flags.of(rows)
        keep &= has
    return np.flatnonzero(keep).astype(np.int32)


def _having(own: Day, text: str) -> Array:
    """The ids of rows with a text of their own that contains it."""
    wanted = text.encode("utf-8", "replace").lower()
    ends = own.columns["end"]
    content = own.columns["text"].tobytes()
    found = np.fromiter(_texts_with(content, wanted), np.int64)
    ids = own.columns["id"][np.searchsorted(ends, found, side="right")]
    if re.fullmatch(rb"[0-9a-f]+", wanted) and len(wanted) <= ID_DIGITS:
        digits = own.columns["digits"].tobytes().hex().encode()
        owners = np.fromiter(_ids_with(digits, wanted), np.int64)
        ids = np.append(ids, own.columns["owner"][owners])
    return ids


def _texts_with(content: bytes, wanted: bytes) -> Iterator[int]:
    """Where texts are that contain it, once each."""
    place = content.find(wanted)
    while place >= 0:
        yield place
        place = content.find(wanted, content.index(b"\0", place))


def _ids_with(digits: bytes, wanted: bytes) -> Iterator[int]:
    """Which ids contain it, once each."""
    place = digits.find(wanted)
    while place >= 0:
        number, within = divmod(place, ID_DIGITS)
        if within + len(wanted) <= ID_DIGITS:
            yield number
            place = digits.find(wanted, (number + 1) * ID_DIGITS)
        else:
            place = digits.find(wanted, place + 1)


def between(rows: Day, places: Array, since: int, until: int) -> Array:
    """Of the places of some rows, those within a time of the day: [since, until) in microseconds."""
    slots = rows.columns["slot"]
    first, last = (slots.dtype.type(at // SLOT) for at in (since, until - 1))
    ends = np.searchsorted(slots, first, side="left"), np.searchsorted(slots, last, side="right")
    some = places[slice(*np.searchsorted(places, np.array(ends, places.dtype)))]
    at = slots[some].astype(np.int64) * SLOT + rows.columns["within"][some]
    found: Array = some[(at >= since) & (at < until)]
    return found


def tallied(rows: Mapping[str, Array], chosen: Array | None, what: What) -> Day:
    """Rows as sums, or as durations with their callers.

    Args:
        chosen: the places of those that are meant; None: all.
    """
    keys = ("slot", "caller", "kind")
    names = (*keys, *(NUMBERS if what == "sums" else _MEASURES))
    columns = {n: rows[n] if chosen is None else rows[n][chosen] for n in names if n in rows}
    if what == "sums":
        return Day({**columns, "requests": np.ones(len(columns["kind"]), np.int8)})
    parts = []
    for name, measure in _MEASURES.items():
        known = np.flatnonzero(~np.isnan(columns[name]))
        bucket = np.searchsorted(BOUNDS, columns[name][known], side="left").astype(np.int8)
        told = (np.full(len(known), measure, np.int8), bucket, np.ones(len(known), np.int8))
        parts.append([*(columns[key][known] for key in keys), *told])
    named = zip((*keys, "measure", "bucket", "number"), zip(*parts, strict=True), strict=True)
    return Day({name: np.concatenate(some) for name, some in named})
