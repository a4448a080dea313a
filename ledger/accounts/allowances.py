"""Budgets of proxy keys across processes: what was charged, and what each process may still spend.

A process does not ask for every request. It holds an allowance of a key's budget and reserves its requests
from that; once the allowance is too small, or from time to time, it settles: what its requests cost is
charged, and it gets a new allowance, if there is one. All of that is one short transaction, one process at a
time for each key. What is charged and what processes hold never exceeds a budget by more than the last
request that was let in. A process that is killed holds its allowance until that expires.

Money is in 10^-9 US dollars here, as whole numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any

from sqlalchemy import Connection, delete, func, select

from ledger.accounts.budgets import LoggedDay, Period, day_start, week_start
from ledger.schema import key_holds, key_spend
from ledger.store import insert_into

NANO_PER_USD = 10**9

NO_LIMIT = 2**62

HOLD_SECONDS = 60.0
"""How long a process that does not settle any more keeps what it holds."""

SLICE_OF_REST = 16
"""What a process holds beyond its running requests: at most so small a part of what is left of the budget.
It gives that back once it does not need it."""

_LOCK = 7_182_820
"""The kind of PostgreSQL's advisory lock that settling takes; the key's name is its second number."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A key's budgets; None where there is none."""

    daily: int | None = None
    weekly: int | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """What requests of one UTC day cost.

    Attributes:
        estimated: the part of those that ended without counts.
        requests: the others.
    """

    nano: int = 0
    estimated: int = 0
    requests: int = 0

    def __add__(self, other: Charge) -> Charge:
        return Charge(
            self.nano + other.nano, self.estimated + other.estimated, self.requests + other.requests
        )


NOTHING_OWN: Mapping[str, Charge] = {}


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a process says of one key.

    Attributes:
        charges: by UTC day (YYYY-MM-DD), what has not been charged yet.
        keep: what it holds on to, for requests that run.
        wanted: what each request that waits asks for, in their order.
        spare: whether it likes to hold more than that, for requests to come.
    """

    key: str
    limits: Limits
    charges: Mapping[str, Charge] = field(default_factory=dict)
    keep: int = 0
    wanted: Sequence[int] = ()
    spare: bool = False


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a process may spend from now on.

    Attributes:
        booked: what it holds as the ledger has it, what it keeps included.
        held: the same without what goes beyond the budget: what the last request may cost more than is left
            is for that one alone.
        granted: how many of the requests that waited may begin.
        exhausted: the budget that leaves nothing for the next one; None while there is some left.
        today, this_week: charged so far, by all processes.
        usual: what this key's requests cost on average, by their counts; None where none had any this week.
        expires_at: epoch seconds.
    """

    booked: int
    held: int
    granted: int
    exhausted: Period | None
    today: int
    this_week: int
    usual: int | None
    expires_at: float


def nano_usd(usd: Decimal) -> int:
    """US dollars in 10^-9, rounded up: what costs something is never taken for nothing."""
    return int((usd * NANO_PER_USD).to_integral_value(ROUND_CEILING))


def settle(connection: Connection, holder: str, settlement: Settlement, now: datetime) -> Allowance:
    """Charge what was spent, and say what may be.

    Args:
        holder: names the process.
    """
    _one_at_a_time(connection, settlement.key, now)
    for day, charge in settlement.charges.items():
        _charge(connection, settlement.key, day, charge)
    today, week, counted, requests = _spent(connection, settlement.key, now)
    others = _held_by_others(connection, settlement.key, holder)
    lefts = _lefts(settlement.limits, today, week, others)
    period, in_all = min(lefts, key=lambda one: one[1], default=(None, NO_LIMIT))
    left = in_all - settlement.keep
    granted, sum_granted = grant(settlement.wanted, left)
    held = settlement.keep + sum_granted
    left -= sum_granted
    if settlement.spare and left > 0:
        held += left // SLICE_OF_REST
    expires_at = now.timestamp() + HOLD_SECONDS
    _hold(connection, settlement.key, holder, held, expires_at)
    exhausted = period if left <= 0 else None
    usual = counted // requests if requests else None
    return Allowance(held, min(held, max(in_all, 0)), granted, exhausted, today, week, usual, expires_at)


def grant(wanted: Sequence[int], left: int) -> tuple[int, int]:
    """How many requests may begin, and what they reserve together. While something is left one more may,
    even one that may cost more than that: else a budget could never be used up."""
    total = 0
    for number, one in enumerate(wanted):
        if total >= left:
            return number, total
        total += one
    return len(wanted), total


def release(connection: Connection, holder: str, keys: Sequence[str]) -> None:
    """The process ends: it holds nothing any more."""
    connection.execute(delete(key_holds).where(key_holds.c.holder == holder, key_holds.c.key.in_(list(keys))))


def is_held(connection: Connection, key: str, holder: str, now: datetime) -> bool:
    """Whether another process holds an allowance of a key."""
    columns = key_holds.c
    others = (columns.key == key) & (columns.holder != holder) & (columns.expires_at >= now.timestamp())
    return connection.execute(select(columns.key).where(others).limit(1)).first() is not None


def catch_up(
    connection: Connection,
    key: str,
    known: Mapping[str, LoggedDay],
    now: datetime,
    holder: str = "",
    own: Mapping[str, Charge] = NOTHING_OWN,
) -> bool:
    """Take over what the request log knows of a key and no process has charged, as after a crash, or before
    the key had a budget. While another process holds an allowance, it may be about to charge that by itself.

    Args:
        known: by UTC day, what its requests of this week cost.
        holder: names the process that asks.
        own: by UTC day, what that one has not charged yet; asked for after `known`, so that it has all of it.
    Returns: whether that could be.
    """
    _one_at_a_time(connection, key, now)
    if is_held(connection, key, holder, now):
        return False
    charged = {row.day: row for row in connection.execute(_week(key, now))}
    for day, logged in known.items():
        nano, requests = (charged[day].nano_usd, charged[day].requests) if day in charged else (0, 0)
        about = own.get(day, Charge())
        missing = nano_usd(logged.usd) - nano - about.nano
        if missing > 0:
            more = max(0, logged.requests - requests - about.requests)
            _charge(connection, key, day, Charge(missing, 0, more))
    return True


def charge(connection: Connection, key: str, charges: Mapping[str, Charge], now: datetime) -> None:
    """Charge what a process could not charge when it was spent."""
    _one_at_a_time(connection, key, now)
    for day, one in charges.items():
        _charge(connection, key, day, one)


def _one_at_a_time(connection: Connection, key: str, now: datetime) -> None:
    """Keep other processes out until the transaction ends, and forget what has expired."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK, func.hashtext(key))))
    # SQLite's lock is taken by the first write
    expired = key_holds.c.expires_at < now.timestamp()
    connection.execute(delete(key_holds).where(key_holds.c.key == key, expired))


def _charge(connection: Connection, key: str, day: str, charge: Charge) -> None:
    columns = key_spend.c
    made = {
        "nano_usd": charge.nano,
        "estimated_nano_usd": charge.estimated,
        "requests": charge.requests,
    }
    statement = insert_into(connection, key_spend).values(key=key, day=day, **made)
    added = {name: columns[name] + statement.excluded[name] for name in made}
    connection.execute(statement.on_conflict_do_update(index_elements=["key", "day"], set_=added))


def _hold(connection: Connection, key: str, holder: str, nano: int, expires_at: float) -> None:
    if nano <= 0:
        release(connection, holder, [key])
        return
    statement = insert_into(connection, key_holds).values(
        key=key, holder=holder, nano_usd=nano, expires_at=expires_at
    )
    changed = {"nano_usd": statement.excluded.nano_usd, "expires_at": statement.excluded.expires_at}
    connection.execute(statement.on_conflict_do_update(index_elements=["key", "holder"], set_=changed))


def _spent(connection: Connection, key: str, now: datetime) -> tuple[int, int, int, int]:
    """Charged today and this week; what of the week was counted, and of how many requests."""
    rows = list(connection.execute(_week(key, now)))
    today = day_start(now).date().isoformat()
    return (
        sum(row.nano_usd for row in rows if row.day == today),
        sum(row.nano_usd for row in rows),
        sum(row.nano_usd - row.estimated_nano_usd for row in rows),
        sum(row.requests for row in rows),
    )


def _week(key: str, now: datetime) -> Any:
    columns = key_spend.c
    first = week_start(now).date()
    days = [(first + timedelta(days=number)).isoformat() for number in range(7)]
    asked = (columns.day, columns.nano_usd, columns.estimated_nano_usd, columns.requests)
    return select(*asked).where(columns.key == key, columns.day.in_(days))


def _held_by_others(connection: Connection, key: str, holder: str) -> int:
    columns = key_holds.c
    held = select(func.sum(columns.nano_usd)).where(columns.key == key, columns.holder != holder)
    return int(connection.execute(held).scalar() or 0)


def _lefts(limits: Limits, today: int, week: int, held: int) -> list[tuple[Period, int]]:
    """What is left of each budget. Of two that leave the same, the one that lasts longer comes first."""
    found: list[tuple[Period, int]] = []
    if limits.weekly is not None:
        found.append(("weekly", limits.weekly - week - held))
    if limits.daily is not None:
        found.append(("daily", limits.daily - today - held))
    return found


def utc_day(now: datetime) -> str:
    """The UTC day of a moment, as charges name it."""
    return now.astimezone(UTC).date().isoformat()
