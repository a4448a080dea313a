"""What each proxy key has spent since the day and the week began, as the request log has it. Days and weeks
are UTC's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import BigInteger, Connection, Select, type_coerce

from ledger.columns import EPOCH
from ledger.pricing.cost import price_sum
from ledger.pricing.prices import PriceBook
from ledger.requests.billed import is_metered
from ledger.requests.queries import priced_sums, token_sum
from ledger.schema import request_logs

Period = Literal["daily", "weekly"]
DAY_MICROS = 86_400_000_000


@dataclass(frozen=True, slots=True)
class LoggedDay:
    """What the log has of one key and one UTC day; `requests` are those that could be priced."""

    usd: Decimal = Decimal(0)
    requests: int = 0


def day_start(now: datetime) -> datetime:
    """The midnight UTC before a moment."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def week_start(now: datetime) -> datetime:
    """Monday's midnight UTC before a moment."""
    day = day_start(now)
    return day - timedelta(days=day.weekday())


def read_spend(
    connection: Connection, book: PriceBook, keys: frozenset[str], now: datetime
) -> Mapping[str, Mapping[str, LoggedDay]]:
    """What keys have spent this week, by key and UTC day (YYYY-MM-DD).

    Args:
        keys: values of `request_logs.api_key_id` that have a budget.
    """
    found: dict[str, dict[str, LoggedDay]] = {key: {} for key in keys}
    for row in connection.execute(_query(keys, week_start(now))):
        day = EPOCH + timedelta(days=int(row.day))
        spend = price_sum(book, token_sum(row, day))
        days, name = found[row.api_key_id], day.date().isoformat()
        before = days.get(name, LoggedDay())
        priced = 0 if spend.unpriced_requests else row.metered
        days[name] = LoggedDay(before.usd + spend.usd, before.requests + priced)
    return found


def _query(keys: frozenset[str], since: datetime) -> Select[Any]:
    log = request_logs.c
    day = type_coerce(log.requested_at, BigInteger) // DAY_MICROS
    of_keys = priced_sums(log.api_key_id.in_(sorted(keys)), is_metered(log), log.requested_at >= since)
    return of_keys.add_columns(log.api_key_id, day.label("day")).group_by(log.api_key_id, day)
