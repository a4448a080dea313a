"""Reading: rows of the store as frozen values. Every query is one short read, or a few.

The questions about requests, for page, terminal and exporter, are gathered here: each takes a connection of
`limits.asking`, a `filter.RequestFilter` and the prices, and answers with the values of `answers`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, or_, select

from ledger.pricing.cost import TokenSum
from ledger.pricing.prices import LONG_CONTEXT_ABOVE, Price, PriceBook
from ledger.requests.billed import billed_tier
from ledger.requests.rows import all_rows, arrived, last_id, page, page_rows, request
from ledger.requests.summaries import (
    by,
    compared,
    concentrations,
    series,
    totals,
    totals_of_periods,
    values,
)
from ledger.schema import accounts, daily_stats, prices, request_logs

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
    "newest_request",
    "page",
    "page_rows",
    "price_book",
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
    return connection.execute(select(func.max(request_logs.c.requested_at))).scalar()


def account_sums(
    connection: Connection, since: datetime, until: datetime
) -> Mapping[str, tuple[TokenSum, ...]]:
    """Token sums by account over [since, until), cut at UTC midnights so that each sum has one price."""
    log = request_logs.c
    found: dict[str, list[TokenSum]] = {}
    for start, end in _days(since, until):
        for row in connection.execute(_sums(start, end).add_columns(log.account_id).group_by(log.account_id)):
            found.setdefault(row.account_id or "unknown", []).append(
                TokenSum(
                    row.model,
                    row.service_tier or None,
                    bool(row.long_context),
                    start,
                    row.metered,
                    row.unmetered,
                    int(row.input),  # PostgreSQL's sums of big integers are numeric
                    int(row.cached),
                    int(row.output),
                )
            )
    return {account: tuple(sums) for account, sums in found.items()}


def day_sums(connection: Connection, first_day: str, last_day: str) -> Mapping[str, tuple[TokenSum, ...]]:
    """Token sums by UTC day, from `daily_stats`; days are `YYYY-MM-DD`, both ends included."""
    found: dict[str, list[TokenSum]] = {}
    day = daily_stats.c.day
    for row in connection.execute(select(daily_stats).where(day.between(first_day, last_day)).order_by(day)):
        at = datetime.fromisoformat(row.day + "T00:00:00+00:00")
        found.setdefault(row.day, []).append(
            TokenSum(
                row.model,
                row.service_tier or None,
                row.long_context,
                at,
                row.metered,
                row.unmetered_successes,
                row.input_tokens,
                row.cached_input_tokens,
                row.output_tokens,
            )
        )
    return {day: tuple(sums) for day, sums in found.items()}


def price_book(connection: Connection) -> PriceBook:
    """The prices as stored."""
    return PriceBook(
        Price(
            model=row.model_prefix,
            effective_from=row.effective_from,
            input=row.prompt_per_1m,
            cached_input=row.cached_prompt_per_1m,
            output=row.completion_per_1m,
            long_input_factor=row.long_input_factor,
            long_output_factor=row.long_output_factor,
            tiers={tier: Decimal(factor) for tier, factor in json.loads(row.tier_factors).items()},
            origin=row.origin,
        )
        for row in connection.execute(select(prices))
    )


def _sums(start: datetime, end: datetime) -> Select[Any]:
    log = request_logs.c
    output = func.coalesce(log.output_tokens, log.reasoning_tokens)
    metered = log.input_tokens.is_not(None) & output.is_not(None)
    long_context = func.coalesce(log.input_tokens, 0) > LONG_CONTEXT_ABOVE
    cached = case(
        (func.coalesce(log.cached_input_tokens, 0) < 0, 0),
        (log.cached_input_tokens > log.input_tokens, log.input_tokens),
        else_=func.coalesce(log.cached_input_tokens, 0),
    )
    tier = func.coalesce(billed_tier(), "")

    def total(value: Any, where: ColumnElement[bool]) -> ColumnElement[int]:
        return func.coalesce(func.sum(case((where, value), else_=0)), 0)

    unmetered = ~metered & (log.status == "success") & (log.request_kind != "read")
    return (
        select(
            log.model,
            tier.label("service_tier"),
            long_context.label("long_context"),
            total(1, metered).label("metered"),
            total(1, unmetered).label("unmetered"),
            total(log.input_tokens, metered).label("input"),
            total(cached, metered).label("cached"),
            total(output, metered).label("output"),
        )
        .where(log.requested_at >= start, log.requested_at < end, log.deleted_at.is_(None))
        .where(or_(metered, log.status == "success"))
        .group_by(log.model, tier, long_context)
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
