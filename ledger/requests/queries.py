"""Reading: rows of the store as frozen values. Every query is one short read, or a few.

The questions about requests, for page, terminal and exporter, are gathered here: each takes a connection of
`limits.asking`, a `filter.RequestFilter` and the prices, and answers with the values of `answers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, or_, select

from ledger.pricing.cost import TokenSum
from ledger.pricing.counts import Counts
from ledger.request_tables import COUNT_COLUMNS
from ledger.requests.billed import billed_tier, context_above, counts, is_metered
from ledger.requests.rows import all_rows, arrived, last_id, page, page_rows, request
from ledger.requests.totals.summaries import (
    by,
    compared,
    concentrations,
    series,
    totals,
    totals_of_periods,
    values,
)
from ledger.schema import accounts, daily_stats, request_kinds, request_logs, request_rows

KINDS = tuple(field.name for field in fields(Counts))

__all__ = [
    "Account",
    "account_sums",
    "all_rows",
    "arrived",
    "billed_tier",
    "by",
    "compared",
    "concentrations",
    "day_sums",
    "last_id",
    "list_accounts",
    "models",
    "newest_request",
    "page",
    "page_rows",
    "request",
    "series",
    "totals",
    "totals_of_periods",
    "values",
]


@dataclass(frozen=True, slots=True)
class Account:
    """One account as stored; `status` and `plan_type` in lower case."""

    id: str
    email: str
    plan_type: str
    status: str


def list_accounts(connection: Connection) -> tuple[Account, ...]:
    """Accounts that are not marked for deletion, by id."""
    table = accounts.c
    rows = connection.execute(
        select(table.id, table.email, table.plan_type, table.status)
        .where(table.delete_requested_at.is_(None))
        .order_by(table.id)
    )
    return tuple(Account(r.id, r.email, r.plan_type.casefold(), r.status.casefold()) for r in rows)


def newest_request(connection: Connection) -> datetime | None:
    """When the newest stored request ended (aware UTC); None in an empty store."""
    return connection.execute(select(func.max(request_rows.c.at))).scalar()


def models(connection: Connection) -> tuple[str, ...]:
    """Every model that was ever served: what prices are needed for."""
    return tuple(name for (name,) in connection.execute(select(request_kinds.c.model).distinct()) if name)


def account_sums(
    connection: Connection, since: datetime, until: datetime
) -> Mapping[str, tuple[TokenSum, ...]]:
    """Token sums by account over [since, until), cut at UTC midnights so that each sum has one price."""
    log = request_logs.c
    found: dict[str, list[TokenSum]] = {}
    for start, end in _days(since, until):
        of_a_day = priced_sums(log.requested_at >= start, log.requested_at < end)
        for row in connection.execute(of_a_day.add_columns(log.account_id).group_by(log.account_id)):
            found.setdefault(row.account_id or "unknown", []).append(token_sum(row, start))
    return {account: tuple(sums) for account, sums in found.items()}


def day_sums(connection: Connection, first_day: str, last_day: str) -> Mapping[str, tuple[TokenSum, ...]]:
    """Token sums by UTC day, from `daily_stats`; days are `YYYY-MM-DD`, both ends included."""
    found: dict[str, list[TokenSum]] = {}
    day = daily_stats.c.day
    for row in connection.execute(select(daily_stats).where(day.between(first_day, last_day)).order_by(day)):
        at = datetime.fromisoformat(row.day + "T00:00:00+00:00")
        found.setdefault(row.day, []).append(
            TokenSum(
                model=row.model,
                service_tier=row.service_tier or None,
                context_above=row.context_above,
                at=at,
                metered=row.metered,
                unmetered=row.unmetered_successes,
                counts=Counts(*(getattr(row, name) for name in COUNT_COLUMNS.values())),
                provider=row.provider or None,
            )
        )
    return {day: tuple(sums) for day, sums in found.items()}


def token_sum(row: Any, at: datetime) -> TokenSum:
    """A row of `priced_sums`, of one day."""
    return TokenSum(
        model=row.model,
        service_tier=row.service_tier or None,
        context_above=row.context_above,
        at=at,
        metered=row.metered,
        unmetered=row.unmetered,
        counts=Counts(*(int(getattr(row, name)) for name in KINDS)),  # PostgreSQL's sums are numeric
        provider=row.provider or None,
    )


def priced_sums(*where: ColumnElement[bool]) -> Select[Any]:
    """What decides on the price of stored requests, and their counts summed up by it.

    Args:
        where: which requests; of one UTC day, or prices change within a sum.
    """
    log = request_logs.c
    metered = is_metered(log)
    key = {
        "model": log.model,
        "provider": func.coalesce(log.provider, ""),
        "service_tier": func.coalesce(billed_tier(log), ""),
        "context_above": context_above(log),
    }

    def total(value: Any, where: ColumnElement[bool]) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((where, value), else_=0)), 0)

    unmetered = ~metered & (log.status == "success") & (log.request_kind != "read")
    return (
        select(
            *(column.label(name) for name, column in key.items()),
            total(1, metered).label("metered"),
            total(1, unmetered).label("unmetered"),
            *(total(count, metered).label(name) for name, count in counts(log).items()),
        )
        .where(log.deleted_at.is_(None), or_(metered, log.status == "success"), *where)
        .group_by(*key.values())
    )


def _days(since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """[since, until) cut at UTC midnights."""
    since = since.astimezone(UTC)
    cuts = [since]
    midnight = since.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    while midnight < until:
        cuts.append(midnight)
        midnight += timedelta(days=1)
    return list(zip(cuts, [*cuts[1:], until], strict=True))
