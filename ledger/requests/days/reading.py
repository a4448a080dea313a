"""Reading days as arrays: the sums by hour, the histograms, and the rows themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, ColumnElement, Connection, Select, case, func, literal_column, select
from sqlalchemy import type_coerce as as_stored
from sqlalchemy.exc import DBAPIError

from ledger.request_tables import (
    COUNT_COLUMNS,
    request_callers,
    request_details,
    request_durations,
    request_hourly,
    request_kinds,
    request_rows,
)
from ledger.requests import billed, sources
from ledger.requests.days.arrays import NUMBERS, Array, Day, small
from ledger.requests.days.kept_days import DAY, Piece, What
from ledger.requests.days.rows import ID_DIGITS, NONE, STATES, tallied
from ledger.requests.filter import SEARCHED, cache_state
from ledger.requests.sources import table_of
from ledger.requests.sums.rollups import DAY_HOURS, SLOT, SLOTS

_USUAL = (*NUMBERS[:4], "input_tokens", "cached_input_tokens", "output_tokens")
_RARE = tuple(name for name in NUMBERS if name not in _USUAL)
"""Mostly zero: they are read only where they are not."""

_SOUGHT = tuple(request_rows.c[name] for name in SEARCHED if table_of(name) is None)


def read_day(
    connection: Connection, what: What, piece: Piece, met: Sequence[ColumnElement[bool]] = ()
) -> Day:
    """A UTC day, or of `rows` and `texts` an hour. What is forgotten is not among them.

    Args:
        met: of `callers`: conditions on these, where few of them are wanted.
    """
    if what == "sums":
        return Day(_sums(connection, piece))
    if what == "durations":
        t = request_durations.c
        columns = {"hour": t.hour, "kind": t.kind_id, "measure": t.measure, "bucket": t.bucket}
        return Day(_of_hours(connection, {**columns, "number": t.number}, t.hour, piece))
    if what == "callers":
        parts = {name: _ROW[name] for name in ("slot", "caller", "kind", "latency", "first_token")}
        return tallied(_of_rows(connection, parts, piece, met), None, "callers").by("hour")
    return Day(_texts(connection, piece) if what == "texts" else _rows(connection, piece))


def read_edge(connection: Connection, time: tuple[int, int]) -> Day:
    """The rows of a time within a slot, with all that sums and histograms are made of: [since, until), in
    microseconds since 1970."""
    return Day(_whole(_read(connection, _OF_EDGES, select(*_OF_EDGES.values()).where(*_between(*time)))))


def _sums(connection: Connection, piece: Piece) -> Mapping[str, Array]:
    t = request_hourly.c
    number = "" if connection.dialect.name == "sqlite" else "::int"
    rare: ColumnElement[int] = literal_column(" + ".join(f"({name} <> 0){number}" for name in _RARE))
    keys: dict[str, Any] = {"hour": t.hour, "caller": t.caller_id, "kind": t.kind_id}
    found = dict(_of_hours(connection, {**keys, **{n: t[n] for n in _USUAL}, "rare": rare}, t.hour, piece))
    if found.pop("rare", None) is None:
        return found
    return _of_hours(connection, {**keys, **{n: t[n] for n in NUMBERS}}, t.hour, piece)


def _of_hours(
    connection: Connection, columns: Mapping[str, Any], hour: ColumnElement[int], piece: Piece
) -> Mapping[str, Array]:
    first, last = (end // SLOTS for end in piece)
    found = _read(connection, columns, select(*columns.values()).where(hour >= first, hour < last))
    return _whole({**found, "hour": found["hour"] % DAY_HOURS})


_r = sources.rows()
_METERED, _COUNTED = billed.is_metered(_r), billed.counts(_r)
_READ = _r.detail_id.in_(select(request_details.c.id).where(request_details.c.request_kind == "read"))
_SUCCESS = _r.kind_id.in_(select(request_kinds.c.id).where(request_kinds.c.status == "success"))
_ROW: Mapping[str, ColumnElement[Any]] = {
    "slot": as_stored(_r.requested_at, BigInteger) // literal_column(str(SLOT)),
    "within": as_stored(_r.requested_at, BigInteger) % literal_column(str(SLOT)),
    "caller": _r.caller_id,
    "kind": _r.kind_id,
    "detail": _r.detail_id,
    "session": func.coalesce(_r.session_number, NONE),
    "id": _r.id,
    "cache": case(*((cache_state(state, _r), number) for number, state in enumerate(STATES))),
    "latency": _r.latency_ms,
    "first_token": _r.latency_first_token_ms,
    "metered": case((_METERED, 1), else_=0),
    "unmetered": case((~_METERED & _SUCCESS & ~_READ, 1), else_=0),
    "reasoning_tokens": case((_METERED, func.coalesce(_r.reasoning_tokens, 0)), else_=0),
    **{column: case((_METERED, _COUNTED[name]), else_=0) for name, column in COUNT_COLUMNS.items()},
}

_OF_EDGES = {n: c for n, c in _ROW.items() if n not in ("within", "detail", "session", "id", "cache")}


def _rows(connection: Connection, piece: Piece) -> Mapping[str, Array]:
    """Without what is rare where there is none of it."""
    t = request_rows.c
    odd = [c.name for c in t if c.name.startswith(("cache_write", "audio", "image"))]
    has_rare = func.coalesce(*(t[name] for name in odd)).is_not(None) | t.extra_units.is_not(None)
    any_rare = connection.execute(select(t.id).where(*_within(piece), has_rare).limit(1)).first()
    columns = {n: c for n, c in _ROW.items() if any_rare is not None or n not in _RARE}
    return _of_rows(connection, columns, piece)


def _of_rows(
    connection: Connection,
    columns: Mapping[str, Any],
    piece: Piece,
    met: Sequence[ColumnElement[bool]] = (),
) -> Mapping[str, Array]:
    query = select(*columns.values()).where(*_within(piece)).order_by(request_rows.c.at, request_rows.c.id)
    if met:
        query = query.where(request_rows.c.caller_id.in_(select(request_callers.c.id).where(*met)))
    found = _read(connection, columns, query)
    return {**_whole(found), "slot": (found["slot"] % DAY).astype(np.int16)}


def _texts(connection: Connection, piece: Piece) -> Mapping[str, Array]:
    """Each row's own texts in lower case, one after the other; ids that are stored as bytes apart."""
    query = select(request_rows.c.id, *_SOUGHT)
    ids, ends, owners, length = [], [], [], 0
    plain, digits = list[bytes](), list[bytes]()
    for number, *cells in _fetched(connection, query.where(*_within(piece))):
        ids.append(number)
        for cell in cells:
            if isinstance(cell, bytes) and 2 * len(cell) == ID_DIGITS:
                digits.append(cell)
                owners.append(number)
            elif cell:
                text = cell.hex() if isinstance(cell, bytes) else cell
                plain.append(text.encode("utf-8", "replace").lower() + b"\0")
                length += len(plain[-1])
        ends.append(length)
    chars = {"digits": b"".join(digits), "text": b"".join(plain)}
    whole = {"id": ids, "end": ends, "owner": owners}
    return {
        **{name: small(np.array(some, np.int64)) for name, some in whole.items()},
        **{name: np.frombuffer(some, np.uint8) for name, some in chars.items()},
    }


def _within(piece: Piece) -> list[ColumnElement[bool]]:
    return _between(piece[0] * SLOT, piece[1] * SLOT)


def _between(since: int, until: int) -> list[ColumnElement[bool]]:
    at: ColumnElement[int] = as_stored(request_rows.c.at, BigInteger)
    return [at >= since, at < until, request_rows.c.deleted_at.is_(None)]


def _whole(columns: Mapping[str, Array]) -> Mapping[str, Array]:
    """Numbers in few bytes, without those that are zero throughout."""
    return {n: small(some) for n, some in columns.items() if n not in (*NUMBERS, "rare") or some.any()}


def _read(connection: Connection, columns: Mapping[str, Any], query: Select[Any]) -> dict[str, Array]:
    """The columns of a query; a missing duration is NaN."""
    rows = _fetched(connection, query)
    cells = zip(*rows, strict=True) if rows else ((),) * len(columns)
    kinds = {name: np.float64 if name in ("latency", "first_token") else np.int64 for name in columns}
    return {name: np.array(some, kinds[name]) for name, some in zip(columns, cells, strict=True)}


def _fetched(connection: Connection, query: Select[Any]) -> Sequence[Any]:
    """The driver's own rows: half of the time is theirs."""
    with connection.execute(query) as result:
        try:
            return result.cursor.fetchall() if result.cursor is not None else []
        except connection.dialect.loaded_dbapi.Error as error:
            raise DBAPIError(None, None, error) from error
