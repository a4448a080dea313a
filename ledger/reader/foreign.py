"""Reading a store whose schema may be older or newer than ours; its rows are checked here.

A store holds what its program wrote, and SQLite takes anything in any column. A row that cannot be understood
is left out and counted: it must not cost the account its other rows, nor the others theirs.

Columns that are missing read as NULL. Rows come as plain tuples, times as microseconds since 1970. In a file
with a rollback journal its owner cannot commit while a statement of ours runs, so each looks at a bounded
number of rows, however many there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any, NamedTuple

from sqlalchemy import Connection, inspect, text

from ledger.columns import EPOCH, moment
from ledger.errors import StoreError
from ledger.quota.cycle import MINUTE, Reading
from ledger.quota.windows import DAY_MINUTES, is_known, source_of
from ledger.requests.queries import Account
from ledger.state import exists

MAX_PERCENT = 1_000
"""A reading further from 0 is none; what is a little beyond 0 to 100 is taken for the nearest of them."""

MAX_MINUTES = 366 * DAY_MINUTES
FARTHEST_RESET = MAX_MINUTES * MINUTE
"""A window is at most a year long, and ends at most a year from when it was looked at: other values, like
milliseconds in place of seconds, say nothing."""

_TEXTS, _NUMBERS = frozenset({str, NoneType}), frozenset({int, NoneType})
"""What stands in nearly all rows, and needs no look at each value: there are a million of them."""

_PASSING = frozenset({"rate_limited", "quota_exceeded"})
"""States of an account that end by themselves."""

_NOT_UNDERSTOOD = (StoreError, ValueError, TypeError, ArithmeticError)


class Request(NamedTuple):
    """A request as stored.

    Attributes:
        at: when it ended, microseconds since 1970.
        tier: in lower case; None where none was told.
        write, write_1h: tokens written to a cache for five minutes, and for an hour.
        others: audio in and out, images in and out; None where there are none.
        units: what is billed beside tokens; None where there is nothing.
        should_cost: it succeeded and was not just a read.
        usd: what the store's owner took it to cost, as stored.
    """

    id: int
    account: str | None
    at: int
    model: str | None
    tier: str | None
    input: int | None
    output: int | None
    cached: int | None
    reasoning: int | None
    should_cost: bool
    usd: Any
    provider: str | None = None
    write: int | None = None
    write_1h: int | None = None
    others: tuple[int, ...] | None = None
    units: Mapping[str, Decimal] | None = None


def request(row: Stored) -> Request | None:
    """A row of RequestRows.page; None where it cannot be understood."""
    id, account, ended, model, tier, input, output, cached, reasoning, status, kind, usd, _ = row[:13]
    provider, write, write_1h, units, others = row[13:]
    try:
        of, by, tier, provider, units, others = _texts((account, model, tier, provider, units, others))
        input, output, cached, reasoning, write, write_1h = _wholes(
            (input, output, cached, reasoning, write, write_1h)
        )
        tier = tier.casefold() if tier else None
        should_cost = kind != "read" and str(status).casefold() == "success"
        counts = (input, output, cached, reasoning)
        plain = (int(id), of, micros(ended), by, tier, *counts, should_cost, usd, provider, write, write_1h)
        return Request(*plain, _others(others) if others else None, _units(units) if units else None)
    except _NOT_UNDERSTOOD:
        return None


def _others(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _units(text: str) -> Mapping[str, Decimal]:
    found = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    if not isinstance(found, dict):
        raise ValueError("something else stands where units should")
    return {name: number for name, number in found.items() if isinstance(number, Decimal)}


def reading(row: Stored) -> tuple[str, Reading] | None:
    """The source and the reading of a row of MeterRows; None where it cannot be understood."""
    _, _, recorded_at, used_percent, name, reset_at, minutes = row
    try:
        at, used = micros(recorded_at), float(used_percent)
        if not -MAX_PERCENT <= used <= MAX_PERCENT:  # nor is NaN
            return None
        return source_of(_text(name)), Reading(at, used, _reset(reset_at, at), _length(minutes))
    except _NOT_UNDERSTOOD:
        return None


def is_of_a_window(row: Stored) -> bool:
    """Whether a row of MeterRows says something of a window that is known here; others are left alone."""
    return row[3] is not None and not (isinstance(row[4], str) and not is_known(row[4]))


def account(row: Stored, at: int = 0) -> Account | None:
    """The account of a row of id, email, plan and status; None where it cannot be understood.

    A limit whose end, `reset_at`, has passed `at` is none any more: its owner notes that only when it next
    uses the account.
    """
    try:
        id, email, plan, status = _texts(row[:4])
    except TypeError:
        return None
    if id is None:
        return None
    status = (status or "active").casefold()
    if status in _PASSING and isinstance(row[5], int) and row[5] * 1_000_000 <= at:
        status = "active"
    return Account(id, email or "", (plan or "unknown").casefold(), status)


def time(value: Any) -> int | None:
    """A stored time as microseconds since 1970; None where it cannot be understood."""
    try:
        return micros(value)
    except StoreError:
        return None


def _texts(values: Sequence[Any]) -> Sequence[str | None]:
    return values if _TEXTS.issuperset(map(type, values)) else tuple(map(_text, values))


def _wholes(values: Sequence[Any]) -> Sequence[int | None]:
    return values if _NUMBERS.issuperset(map(type, values)) else tuple(map(_whole, values))


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError("bytes stand where a text should")
    return str(value)


def _whole(value: Any) -> int | None:
    if value is None or type(value) is int:
        return value
    if isinstance(value, (str, bytes)):
        raise TypeError("a text stands where a number should")
    return int(value)


def _reset(value: Any, at: int) -> int | None:
    reset_at = _whole(value)
    if reset_at is None or abs(reset_at * 1_000_000 - at) > FARTHEST_RESET:
        return None
    return reset_at


def _length(value: Any) -> int | None:
    minutes = _whole(value)
    return minutes if minutes is not None and 0 < minutes <= MAX_MINUTES else None


_MICROSECOND = timedelta(microseconds=1)
_NAIVE_EPOCH = EPOCH.replace(tzinfo=None)

Stored = Sequence[Any]
"""One row as it is stored; hashable."""


def micros(moment: Any) -> int:
    """A stored time as microseconds since 1970: text of either precision, or a datetime; naive is UTC.

    Raises: StoreError.
    """
    try:
        parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        return (parsed - (EPOCH if parsed.tzinfo else _NAIVE_EPOCH)) // _MICROSECOND
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"{moment!r} is in the store where a time should") from error


def stamp(connection: Connection, at: int) -> str | datetime:
    """A time to compare stored ones with. Whole seconds sort before every fraction of theirs as text."""
    naive = moment(at).replace(tzinfo=None, microsecond=0)
    return naive.isoformat(" ") if connection.dialect.name == "sqlite" else naive


def columns(connection: Connection, table: str) -> frozenset[str]:
    """The columns of a table as it is now.

    Raises: what the database raises where there is no such table.
    """
    if connection.dialect.name == "sqlite":
        names = [row[1] for row in connection.exec_driver_sql(f'PRAGMA table_info("{table}")').fetchall()]
    else:
        query = text(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = :table AND table_schema = ANY (current_schemas(false))"
        )
        names = [row[0] for row in connection.execute(query, {"table": table}).fetchall()]
    if not names:
        connection.execute(text(f'SELECT 1 FROM "{table}" LIMIT 1'))  # noqa: S608
    return frozenset(names)


OWN = "request_rows"


def own_rows(connection: Connection) -> str:
    """Where the rows of requests are: in our own ledger `request_logs` is a view, of which the highest id
    cannot be looked up. While it is converted, rows are in two tables, and the view alone has all."""
    return (
        OWN if exists(connection, OWN) and not exists(connection, "request_logs_before") else "request_logs"
    )


def indexes(connection: Connection, table: str) -> frozenset[tuple[str | None, ...]]:
    """The columns of each index over all rows of a table; None stands for an expression."""
    if connection.dialect.name != "sqlite":
        found = [i for i in inspect(connection).get_indexes(table) if not _is_partial(i)]
        return frozenset(tuple(index["column_names"]) for index in found)
    listed = connection.exec_driver_sql(f'PRAGMA index_list("{table}")').fetchall()
    names = [name for _, name, _, _, partial in listed if not partial]
    infos = [connection.exec_driver_sql(f'PRAGMA index_info("{name}")').fetchall() for name in names]
    return frozenset(tuple(row[2] for row in sorted(info)) for info in infos)


def _is_partial(index: Any) -> bool:
    return "postgresql_where" in index.get("dialect_options", {})


def or_null(name: str, have: frozenset[str], kind: str = "text") -> str:
    """A column, or NULL of a type where there is none of that name: PostgreSQL does not sum up or compare
    what has no type."""
    return f'"{name}"' if name in have else f"CAST(NULL AS {kind})"


def time_or_null(connection: Connection, name: str) -> str:
    """A column of times, without those that Python has no value for: PostgreSQL knows infinity, and years
    before 1 and after 9999, and one of them would cost all the rows that are fetched with it."""
    if connection.dialect.name == "sqlite":
        return f'"{name}"'
    return f"CASE WHEN \"{name}\" BETWEEN '0002-01-01' AND '9998-12-31' THEN \"{name}\" END"


AT_ONCE = 1_000
"""Accounts read in one statement."""


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts of a store: those to show, by id, the ids of those that are marked for deletion, and how
    many could not be understood."""

    shown: tuple[Account, ...]
    hidden: frozenset[str]
    unreadable: int = 0


def read_accounts(connection: Connection, at: int = 0) -> Accounts:
    """All accounts as of `at`, microseconds since 1970; their status and plan in lower case."""
    rows = list(_rows(connection))
    found = [(account(row, at), row[4] is not None) for row in rows]
    return Accounts(
        tuple(account for account, deleted in found if account and not deleted),
        frozenset(account.id for account, deleted in found if account and deleted),
        sum(account is None for account, _ in found),
    )


def _rows(connection: Connection) -> Iterator[Stored]:
    have = columns(connection, "accounts")
    names = ("email", "plan_type", "status", "delete_requested_at", "reset_at")
    select = f"SELECT id, {', '.join(or_null(name, have) for name in names)} FROM accounts"  # noqa: S608
    after: dict[str, Any] = {}
    while True:
        where = "WHERE id > :after" if after else ""
        query = text(f"{select} {where} ORDER BY id LIMIT {AT_ONCE}")
        rows = connection.execute(query, after).fetchall()
        yield from rows
        if len(rows) < AT_ONCE:
            return
        after = {"after": rows[-1][0]}
