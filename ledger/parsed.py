"""Where rows of a store become values of ours: the one edge at which what they hold is checked.

A store holds what its program wrote, and SQLite takes anything in any column. A row that cannot be understood
is left out and counted: it must not cost the account its other rows, nor the others theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import Any, NamedTuple

from ledger.cycle import MINUTE, Reading
from ledger.errors import StoreError
from ledger.foreign import Stored, micros
from ledger.queries import Account
from ledger.windows import DAY_MINUTES, is_known, source_of

MOST_PERCENT = 1_000
"""A reading further from 0 is none; what is a little beyond 0 to 100 is taken for the nearest of them."""

MOST_MINUTES = 366 * DAY_MINUTES
FARTHEST_RESET = MOST_MINUTES * MINUTE
"""A window is at most a year long, and ends at most a year from when it was looked at: other values, like
milliseconds in place of seconds, say nothing."""

_TEXTS, _NUMBERS = frozenset({str, NoneType}), frozenset({int, NoneType})
"""What stands in nearly all rows, and needs no look at each value: there are a million of them."""

_NOT_UNDERSTOOD = (StoreError, ValueError, TypeError, ArithmeticError)


class Request(NamedTuple):
    """A request as stored.

    Attributes:
        at: when it ended, microseconds since 1970.
        tier: in lower case; None where none was told.
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


def request(row: Stored) -> Request | None:
    """A row of RequestRows.page; None where it cannot be understood."""
    id, account, ended, model, tier, input, output, cached, reasoning, status, kind, usd, _ = row
    try:
        of, by, tier = _texts((account, model, tier))
        input, output, cached, reasoning = _wholes((input, output, cached, reasoning))
        tier = tier.casefold() if tier else None
        should_cost = kind != "read" and str(status).casefold() == "success"
        counts = (input, output, cached, reasoning)
        return Request(int(id), of, micros(ended), by, tier, *counts, should_cost, usd)
    except _NOT_UNDERSTOOD:
        return None


def reading(row: Stored) -> tuple[str, Reading] | None:
    """The source and the reading of a row of MeterRows; None where it cannot be understood."""
    _, _, recorded_at, used_percent, name, reset_at, minutes = row
    try:
        at, used = micros(recorded_at), float(used_percent)
        if not -MOST_PERCENT <= used <= MOST_PERCENT:  # nor is NaN
            return None
        return source_of(_text(name)), Reading(at, used, _reset(reset_at, at), _length(minutes))
    except _NOT_UNDERSTOOD:
        return None


def is_of_a_window(row: Stored) -> bool:
    """Whether a row of MeterRows says something of a window that is known here; others are left alone."""
    return row[3] is not None and not (isinstance(row[4], str) and not is_known(row[4]))


def account(row: Stored) -> Account | None:
    """The account of a row of id, email, plan and status; None where it cannot be understood."""
    try:
        id, email, plan, status = _texts(row[:4])
    except TypeError:
        return None
    if id is None:
        return None
    return Account(id, email or "", (plan or "unknown").casefold(), (status or "active").casefold())


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
    return minutes if minutes is not None and 0 < minutes <= MOST_MINUTES else None
