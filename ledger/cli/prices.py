"""`python -m ledger prices`: which prices hold, which are missing, and what newer data would change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select

from ledger.cli.price import day_of
from ledger.cli.tables import table
from ledger.pricing.prices import Card, Price, PriceBook
from ledger.pricing.records import rates_record
from ledger.pricing.updates import Change
from ledger.schema import daily_stats, request_kinds, request_rows
from ledger.values import UNKNOWN_MODEL

UNPRICED_DAYS = 30
"""How far back `unpriced` looks for models that are used."""

_LIST_HEAD = (
    *("PROVIDER", "MODEL", "FROM", "INPUT", "CACHED", "WRITE", "WRITE 1H", "OUTPUT", "ABOVE", "TIERS"),
    "ORIGIN",
)
_UNPRICED_HEAD = ("MODEL", "PROVIDER", "REQUESTS", "LAST")


def price_list(book: PriceBook, model: str | None, provider: str | None) -> str:
    """The prices whose model or other name holds a text, one line each."""
    text = (model or "").lower()
    rows = [
        _listed(price)
        for price in sorted(book.prices, key=lambda p: (p.provider, p.model, p.effective_from))
        if provider in (None, price.provider) and any(text in name for name in _names(price))
    ]
    return table(_LIST_HEAD, rows) if rows else "no such price"


def _names(price: Price) -> tuple[str, ...]:
    return (price.model, *price.names, price.alias_of or "")


def _listed(price: Price) -> tuple[str, ...]:
    rates = rates_record(price.rates)
    kinds = ("input", "cached_input", "cache_write", "cache_write_1h", "output")
    return (
        price.provider or "-",
        price.model if price.alias_of is None else f"{price.model} = {price.alias_of}",
        day_of(price),
        *(rates.get(kind, "-") for kind in kinds),
        _steps(price.card),
        " ".join(f"{tier} {rates_record(card.rates)['input']}" for tier, card in sorted(price.tiers.items()))
        or "-",
        price.origin,
    )


@dataclass(frozen=True, slots=True)
class Unpriced:
    """A model that was used and has no price."""

    model: str
    provider: str | None
    requests: int
    last: datetime


def unpriced(connection: Connection, book: PriceBook, since: datetime) -> list[Unpriced]:
    """Models of requests that reported their usage, without a price when they were used last; the most used
    first. Only when a model was used last is looked up among the requests."""
    missing = [one for one in used_models(connection, since) if book.find(one[0], one[3], one[1]) is None]
    ends: dict[tuple[str, str | None], datetime] = {}
    for last in {one[3] for one in missing}:
        ends |= _ends_of(connection, last)
    found = [Unpriced(m, p, number, ends.get((m, p), last)) for m, p, number, last in missing]
    return sorted(found, key=lambda r: (-r.requests, r.model))


def used_models(connection: Connection, since: datetime) -> list[tuple[str, str | None, int, datetime]]:
    """Models of requests that reported their usage, with their provider, the number of these requests and the
    last UTC day on which there was one; by the sums of whole UTC days, the most used first."""
    day = daily_stats.c
    query = (
        select(day.model, day.provider, func.sum(day.metered), func.max(day.day))
        .where(day.day >= since.astimezone(UTC).date().isoformat(), day.metered > 0)
        .where(day.model != UNKNOWN_MODEL)
        .group_by(day.model, day.provider)
        .order_by(func.sum(day.metered).desc(), day.model, day.provider)
    )
    return [(m, p or None, int(n), _midnight(last)) for m, p, n, last in connection.execute(query)]


def _midnight(day: str) -> datetime:
    return datetime.fromisoformat(day + "T00:00:00+00:00")


def _ends_of(connection: Connection, day: datetime) -> dict[tuple[str, str | None], datetime]:
    """When the last request of each model and provider of a UTC day ended."""
    row, kind = request_rows.c, request_kinds.c
    of_a_day = (
        select(row.kind_id, func.max(row.at).label("at"))
        .where(row.at >= day, row.at < day + timedelta(days=1), row.deleted_at.is_(None))
        .group_by(row.kind_id)
        .subquery()
    )
    query = (
        select(kind.model, kind.provider, func.max(of_a_day.c.at))
        .join(of_a_day, of_a_day.c.kind_id == kind.id)
        .group_by(kind.model, kind.provider)
    )
    return {(model, provider or None): at for model, provider, at in connection.execute(query)}


def unpriced_text(found: Sequence[Unpriced]) -> str:
    """What has no price, and the TOML to paste; its question marks are refused until they are replaced."""
    if not found:
        return f"every model of the last {UNPRICED_DAYS} days has a price"
    rows = [(r.model, r.provider or "-", f"{r.requests:,}", f"{r.last:%Y-%m-%d %H:%MZ}") for r in found]
    head = "# add to codex-usage.toml, with your provider's prices in US dollars per million tokens:"
    return "\n".join([table(_UNPRICED_HEAD, rows), "", head, *map(toml, found)])


def toml(row: Unpriced) -> str:
    """The lines of the configuration that give a model its price."""
    lines = [f"[pricing.models.{json.dumps(row.model)}]"]
    if row.provider:
        lines.append(f"provider = {json.dumps(row.provider)}")
    return "\n".join([*lines, 'prompt_per_1m = "?"', 'completion_per_1m = "?"', ""])


def _steps(card: Card) -> str:
    return " ".join(f"{step}: {rates_record(rates)['input']}" for step, rates in card.above) or "-"


def changes_text(found: Sequence[Change], source: str) -> str:
    """What newer data has otherwise, a line each."""
    if not found:
        return f"no change: the prices are those of {source}"
    return "\n".join([*map(str, found), f"{len(found)} changes compared with {source}"])
