"""What the overview of requests shows: questions to the ledger, and the values that its template reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, select

from console import formats as f
from console.conditions import Selection
from console.times import bounds
from ledger.pricing.prices import PriceBook
from ledger.requests import queries
from ledger.requests.answers import Breakdown, Concentration, Line, Point, Totals
from ledger.requests.filter import Dimension, RequestFilter
from ledger.schema import accounts

BARS = 60
SLICES = 24
TOP = 12


@dataclass(frozen=True, slots=True)
class Card:
    """One number of the summary.

    Attributes:
        parts: smaller numbers that belong to it: word, value.
        before: the same of as long a time right before, with the change; empty where there is nothing.
        worse: the change is one for the worse; None: neither.
    """

    title: str
    value: str
    parts: tuple[tuple[str, str], ...] = ()
    before: str = ""
    change: str = ""
    worse: bool | None = None
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A step of time: heights from 0 to 1 of all its requests and of the failed ones."""

    point: Point
    height: float
    failed: float


@dataclass(frozen=True, slots=True)
class Summary:
    now: Totals
    before: Totals
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class TableRow:
    """One value of a dimension, with its health over time."""

    value: Any
    totals: Totals
    slices: tuple[Point, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    dimension: Dimension
    rows: tuple[TableRow, ...]
    rest: Totals
    hidden: int


def summary(connection: Connection, book: PriceBook, where: RequestFilter) -> Summary:
    """The cards, each with the period before."""
    now, before = queries.compared(connection, where, book)
    return Summary(now, before, cards(now, before))


def timeline(connection: Connection, book: PriceBook, where: RequestFilter) -> tuple[Bar, ...]:
    since, until = _ends(where)
    lines = queries.series(connection, where, bounds(since, until, BARS), book)
    points = lines[0].points if lines else ()
    most = max((p.totals.requests for p in points), default=0) or 1
    return tuple(Bar(p, p.totals.requests / most, p.totals.errors / most) for p in points)


def telling(connection: Connection, _book: PriceBook, where: RequestFilter) -> Sequence[Concentration]:
    found = queries.concentrations(connection, where, most=6)
    return [one for one in found if one.share_of_errors > one.share_of_requests][:3]


def table(
    connection: Connection,
    book: PriceBook,
    where: RequestFilter,
    dimension: Dimension,
    notes: Mapping[str, str] | None = None,
) -> Table:
    """Requests by a dimension, with the health of each value over time."""
    found = queries.by(connection, where, dimension, book, top=TOP, order="requests", durations=True)
    health: dict[Any, tuple[Point, ...]] = {}
    if found.groups:
        health = _health(connection, book, where, found)
    rows = tuple(
        TableRow(group.value, group.totals, health.get(group.value, ()), (notes or {}).get(group.value, ""))
        for group in found.groups
    )
    return Table(dimension, rows, found.rest, max(0, found.values - len(found.groups)))


def account_statuses(connection: Connection) -> dict[str, str]:
    """The status of every account that was not removed."""
    table = accounts.c
    rows = connection.execute(select(table.id, table.status).where(table.delete_requested_at.is_(None)))
    return {row.id: row.status.casefold() for row in rows}


def cards(now: Totals, before: Totals) -> tuple[Card, ...]:
    counts = now.counts
    return (
        _count("Requests", now.requests, before.requests),
        _count("Failures", now.errors, before.errors, parts=(("cancelled", f.short(now.cancelled)),), bad=1),
        Card(
            "Success rate",
            f.share(now.success_rate),
            before=_before(f.share(before.success_rate), before),
            worse=_lower(now.success_rate, before.success_rate),
            alarm=now.success_rate is not None and now.success_rate < 0.95,
        ),
        _time("Latency", now.latency, before.latency),
        _time("First token", now.first_token, before.first_token),
        Card(
            "Tokens",
            f.short(now.tokens),
            parts=(
                ("input", f.short(counts.input)),
                ("cached", f.short(counts.cached_input)),
                ("written", f.short(counts.cache_write + counts.cache_write_1h)),
                ("output", f.short(counts.output)),
                ("reasoning", f.short(now.reasoning)),
            ),
            before=_before(f.short(before.tokens), before),
            change=f.change(now.tokens, before.tokens),
        ),
        Card(
            "Cache hit rate",
            f.share(now.cache_hit_rate),
            before=_before(f.share(before.cache_hit_rate), before),
            worse=_lower(now.cache_hit_rate, before.cache_hit_rate),
        ),
        Card(
            "Cost, list price",
            f.usd(now.usd),
            before=_before(f.usd(before.usd), before),
            change=f.change(float(now.usd), float(before.usd)),
        ),
        _count("Unpriced", now.unpriced, before.unpriced, bad=1),
    )


def _count(
    title: str, now: int, before: int, *, parts: tuple[tuple[str, str], ...] = (), bad: int = 0
) -> Card:
    return Card(
        title,
        f.number(now),
        parts=parts,
        before=f.number(before),
        change=f.change(now, before),
        worse=(now > before) if bad and now != before else None,
        alarm=bool(bad and now),
    )


def _time(title: str, now: Any, before: Any) -> Card:
    middle, slow, then = now.quantile(0.5), now.quantile(0.95), before.quantile(0.95)
    return Card(
        f"{title} p95",
        f.duration(slow),
        parts=(("p50", f.duration(middle)),),
        before=f.duration(then) if then is not None else "",
        change=f.change(slow, then),
        worse=slow > then * 1.1 if slow is not None and then else None,
    )


def _before(value: str, before: Totals) -> str:
    return value if before.requests else ""


def _lower(now: float | None, before: float | None) -> bool | None:
    return now < before if now is not None and before is not None and now != before else None


def _health(
    connection: Connection, book: PriceBook, where: RequestFilter, found: Breakdown
) -> dict[Any, tuple[Point, ...]]:
    since, until = _ends(where)
    edges = bounds(since, until, SLICES)
    shown = where.having(found.dimension, *(group.value for group in found.groups))
    lines: Sequence[Line] = queries.series(
        connection, shown, edges, book, dimension=found.dimension, top=TOP, order="requests"
    )
    return {None if line.value == "" else line.value: line.points for line in lines}


def _ends(where: RequestFilter) -> tuple[datetime, datetime]:
    if where.since is None or where.until is None:
        raise ValueError("a view has both ends")
    return where.since, where.until


@dataclass(frozen=True, slots=True)
class Step:
    text: str
    address: str
    label: str


COST_PANEL = 12
"""The panel of cost by day on Grafana's overview."""

AUTH = frozenset({"auth", "quota", "rate_limit"})


def next_steps(
    chosen: Selection, sums: Totals, found: Sequence[Concentration], grafana: str
) -> tuple[Step, ...]:
    """Where a state of the filters leads on to."""
    steps: list[Step] = []
    accounts_of = [one.value for one in found if one.dimension == "account_id"]
    accounts_of += [v for v in chosen.values("account_id") if v not in accounts_of]
    steps += [
        Step(
            "Windows, last error, pause or reauth",
            _account(name),
            f"Account {f.text(name, 40)}",
        )
        for name in accounts_of[:2]
        if name
    ]
    keys = [one.value for one in found if one.dimension == "api_key_id"]
    keys += [v for v in chosen.values("api_key_id") if v not in keys]
    steps += [
        Step("Spend, budget, refusals", _key(name), f"Key {f.text(name, 40)}") for name in keys[:1] if name
    ]
    classes = {one.value for one in found if one.dimension in ("error_code", "error_class")}
    if (classes & AUTH or {"401", "403", "429"} & {str(o.value) for o in found}) and not accounts_of:
        steps.append(Step("Login and quota failures", "/accounts#queue", "Action queue"))
    if sums.unpriced:
        steps.append(
            Step(f"{f.counted(sums.unpriced, 'request')} without a price", "/prices#unpriced", "Price to add")
        )
    address = chosen.grafana(grafana, "quotascope-overview", {"model": "model", "api": "api"})
    if sums.usd:
        steps.append(Step("Cost by day and model", f"{address}&viewPanel={COST_PANEL}", "Cost in Grafana"))
    steps.append(Step("Trends for the same time range", address, "Trends in Grafana"))
    return tuple(steps)


def _account(name: str) -> str:
    return f"/accounts/{quoted(name)}"


def _key(name: str) -> str:
    return f"/keys?name={quoted(name)}"


def quoted(text: str) -> str:
    return quote(text, safe="")
