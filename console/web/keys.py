"""What the pages of keys show: spend against budgets, refusals, and what one key used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from ledger.accounts.allowances import NANO_PER_USD
from ledger.accounts.budgets import day_start, read_spend, week_start
from ledger.pricing.prices import PriceBook
from ledger.requests import queries
from ledger.requests.answers import Point, Totals
from ledger.requests.filter import RequestFilter
from ledger.requests.sums import periods
from ledger.schema import key_spend
from settings.model import ProxyKey

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
REFUSED = "budget_exceeded"
"""The code of requests that the proxy refuses because their key's budget is spent."""

MAX_OTHERS = 200
"""Keys that are shown besides the configured ones."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One budget: what was charged against it since its period began.

    Attributes:
        estimated: the part of requests that ended without counts.
        resets_at: when the next period begins.
    """

    title: str
    limit: Decimal
    spent: Decimal
    estimated: Decimal
    resets_at: datetime

    @property
    def share(self) -> float:
        return float(self.spent / self.limit)


@dataclass(frozen=True, slots=True)
class KeyView:
    """One key: of the configuration, or as callers presented it."""

    name: str
    configured: bool
    budgets: tuple[Budget, ...]
    day: Totals
    week: Totals
    refused: int


def key_list(
    connection: Connection, book: PriceBook, keys: Mapping[str, ProxyKey], now: datetime, chosen: str = ""
) -> tuple[KeyView, ...]:
    """All configured keys, then what others present, the most expensive first, and one that is chosen."""
    day = _by_key(connection, book, RequestFilter(now - DAY, now))
    week = _by_key(connection, book, RequestFilter(now - WEEK, now))
    refused = _by_key(connection, book, RequestFilter(now - WEEK, now, error_code=(REFUSED,)))
    spent = _spent(connection, book, keys, now)
    others = [name for name in week if name and name not in keys][:MAX_OTHERS]
    if chosen and chosen not in (*keys, *others):
        others.append(chosen)
    return tuple(
        KeyView(
            name,
            name in keys,
            budgets(keys[name], spent.get(name, {}), now) if name in keys else (),
            day.get(name, Totals()),
            week.get(name, Totals()),
            refused.get(name, Totals()).requests,
        )
        for name in (*sorted(keys), *others)
    )


def budgets(key: ProxyKey, spent: Mapping[str, tuple[Decimal, Decimal]], now: datetime) -> tuple[Budget, ...]:
    """A key's budgets. `spent`: by UTC day, US dollars charged, and the part of them that is estimated."""
    today, monday = day_start(now), week_start(now)
    found = []
    for title, limit, begins, length in (
        ("day", key.daily_usd, today, DAY),
        ("week", key.weekly_usd, monday, WEEK),
    ):
        if limit is not None:
            within = [amounts for day, amounts in spent.items() if day >= begins.date().isoformat()]
            sums = [sum((one[n] for one in within), Decimal(0)) for n in (0, 1)]
            found.append(Budget(title, limit, sums[0], sums[1], begins + length))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class OwnUsage:
    """What one key used: today, this week, this month in the page's zone, its days and its models."""

    periods: tuple[tuple[str, Totals], ...]
    days: tuple[Point, ...]
    models: tuple[tuple[str | None, Totals], ...]
    budgets: tuple[Budget, ...]
    refused: int


def own_usage(
    connection: Connection, book: PriceBook, name: str, key: ProxyKey, now: datetime, zone: ZoneInfo
) -> OwnUsage:
    """What the holder of a key sees: of this key alone, and nothing of accounts."""
    mine = RequestFilter(api_key_id=(name,))
    names: tuple[periods.PeriodName, ...] = ("today", "week", "month")
    ends = [periods.period(one, now, zone) for one in names]
    sums = queries.totals_of_periods(connection, mine, ends, book)
    days = periods.days(now - 29 * DAY, now, zone)
    lines = queries.series(connection, mine, days, book)
    month = mine.between(*ends[2])
    models = queries.by(connection, month, "model", book, top=20).groups
    refused = queries.totals(connection, month.having("error_code", REFUSED), book, durations=False).requests
    spent = _spent(connection, book, {name: key}, now)
    return OwnUsage(
        tuple(zip(("Today", "This week", "This month"), sums, strict=True)),
        lines[0].points if lines else (),
        tuple((group.value, group.totals) for group in models),
        budgets(key, spent.get(name, {}), now),
        refused,
    )


def _by_key(connection: Connection, book: PriceBook, where: RequestFilter) -> dict[str | None, Totals]:
    found = queries.by(connection, where, "api_key_id", book, top=None)
    return {group.value: group.totals for group in found.groups}


def _spent(
    connection: Connection, book: PriceBook, keys: Mapping[str, ProxyKey], now: datetime
) -> dict[str, dict[str, tuple[Decimal, Decimal]]]:
    """By key and UTC day: what was charged, or where the log knows more, that."""
    limited = frozenset(name for name, key in keys.items() if key.daily_usd or key.weekly_usd)
    found: dict[str, dict[str, tuple[Decimal, Decimal]]] = {name: {} for name in limited}
    if not limited:
        return found
    rows = connection.execute(
        select(key_spend).where(
            key_spend.c.key.in_(sorted(limited)), key_spend.c.day >= week_start(now).date().isoformat()
        )
    )
    for row in rows:
        charged = Decimal(row.nano_usd) / NANO_PER_USD
        found[row.key][row.day] = (charged, Decimal(row.estimated_nano_usd) / NANO_PER_USD)
    for name, logged in read_spend(connection, book, limited, now).items():
        for day, one in logged.items():
            charged, estimated = found[name].get(day, (Decimal(0), Decimal(0)))
            found[name][day] = (max(charged, one.usd), estimated)
    return found
