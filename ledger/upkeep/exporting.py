"""Requests for other programs: every row of a filter, oldest first, read so that nobody is held up.

Each statement covers a short time, so that none holds on to an old state of the ledger; texts that many rows
share are looked up once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Select,
    func,
    literal_column,
    select,
    type_coerce,
)

from ledger.columns import micros
from ledger.pricing.prices import PriceBook
from ledger.pricing.rates import RateTable
from ledger.privacy import without_likely
from ledger.request_tables import CALLER, DETAIL, KIND, request_callers, request_details, request_kinds
from ledger.request_tables import request_rows as rows
from ledger.requests import sources
from ledger.requests.billed import billed_tier
from ledger.requests.dictionaries import units_of
from ledger.requests.filter import RequestFilter, conditions
from ledger.requests.limits import Limit, asking

ROWS_AT_ONCE = 10_000
FIRST_SPAN = timedelta(hours=1)
LONGEST_SPAN = timedelta(days=30)
WANTED_SECONDS = 0.2
"""How long one statement is to take; so long, at most, SQLite keeps what was replaced."""

STATEMENT_SECONDS = 30.0
MAX_FAILURE = 4_096

OWN = ("request_id", "upstream_request_id", "response_id", "trace_id")
COUNTS = (
    *("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens"),
    *("cache_write_tokens", "cache_write_1h_tokens", "audio_input_tokens", "audio_output_tokens"),
    *("image_input_tokens", "image_output_tokens"),
)
TIMES = ("latency_ms", "latency_first_token_ms")
_STORED = (*OWN, *COUNTS, *TIMES, "error_message", "provider_cost_usd", "extra_units")

SHARED = (
    (request_callers, CALLER),
    (request_kinds, tuple(name for name in KIND if name not in ("context_above", "login"))),
    (request_details, tuple(name for name in DETAIL if name != "request_kind")),
)
"""Texts that many rows share, with the tables that they are in."""


@dataclass(slots=True)
class Texts:
    """What rows point at, by number: each is looked up once.

    Attributes:
        of: in the order of SHARED.
        priced_by: of kinds: model, billed tier, provider, and whether it succeeded.
    """

    of: tuple[dict[int, tuple[Any, ...]], ...] = field(default_factory=lambda: ({}, {}, {}))
    priced_by: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    def learn(self, connection: Connection, found: Sequence[Any]) -> None:
        """Look up what is not known of some rows."""
        kind = request_kinds.c
        prices = [kind.model, billed_tier(kind), kind.provider, kind.status]
        for place, (table, names) in enumerate(SHARED):
            missing = sorted({row[place + 2] for row in found} - self.of[place].keys())
            more = prices if table is request_kinds else []
            query = select(table.c.id, *(table.c[name] for name in names), *more)
            for start in range(0, len(missing), 500):  # databases bound the number of parameters
                some = table.c.id.in_(missing[start : start + 500])
                for number, *values in connection.execute(query.where(some)):
                    self.of[place][number] = tuple(values[: len(names)])
                    if more:
                        self.priced_by[number] = tuple(values[len(names) :])


class Exported(NamedTuple):
    """One row: a tuple, for a million of them are made.

    Attributes:
        at: microseconds since 1970.
        own: values of OWN.
        numbers: of its texts, in the order of SHARED.
        rest: values of COUNTS and TIMES.
        pico: 10^-12 US dollars; negative where it has no cost.
    """

    at: int
    own: Sequence[str | None]
    session_id: str | None
    numbers: tuple[int, int, int]
    rest: Sequence[Any]
    error_message: str | None
    provider_cost_usd: str | None
    extra_units: str | None
    pico: int


def batches(
    engine: Engine,
    where: RequestFilter,
    book: PriceBook,
    now: datetime,
    texts: Texts,
    limit: Limit | None = None,
) -> Iterator[list[Exported]]:
    """The rows of a filter, oldest first. What comes late, or after now, may not be among them.

    Args:
        engine: of `ledger.store.reader`.
        texts: learns what the rows point at.
        limit: to cancel it; without one each statement has its own.
    Raises: StoreError, TooSlow.
    """
    start, end = _ends(engine, where, now)
    span, after, priced = FIRST_SPAN, (micros(start), 0), RateTable(book)
    while start < end:
        until, began = min(end, start + span), monotonic()
        with asking(engine, limit or Limit(STATEMENT_SECONDS)) as connection:
            found = connection.execute(_query(where.between(start, until), after)).fetchall()
            texts.learn(connection, found)
        took = monotonic() - began
        if found:
            yield [_row(row, texts, priced) for row in found]
        if len(found) == ROWS_AT_ONCE:
            after = (found[-1][1], found[-1][0])
            continue
        start, after = until, (micros(until), 0)
        span = min(LONGEST_SPAN, 2 * span) if took < WANTED_SECONDS / 2 else max(FIRST_SPAN, span / 2)


def _ends(engine: Engine, where: RequestFilter, now: datetime) -> tuple[datetime, datetime]:
    end = now if where.until is None else min(now, where.until)
    with asking(engine, Limit(STATEMENT_SECONDS)) as connection:
        oldest = connection.execute(select(func.min(rows.c.at))).scalar()
    if oldest is None:
        return end, end
    return oldest if where.since is None else max(oldest, where.since), end


def _query(where: RequestFilter, after: tuple[int, int]) -> Select[Any]:
    log = sources.rows()
    at, met = type_coerce(rows.c.at, BigInteger), conditions(where, log)
    # As they are stored: to make values of types takes longer than to read them
    stored: list[ColumnElement[Any]] = [_plain(name) for name in ("at", *_STORED)]
    columns = [
        *(log.id, stored[0], log.caller_id, log.kind_id, log.detail_id),
        *(log.session_id, log.request_kind, *stored[1:]),
    ]
    query = select(*columns).select_from(log.joined()).where(*met)
    query = query.where(at >= after[0], (at > after[0]) | (log.id > after[1]))
    # In the order of time whatever the conditions: by another index each step would sort all that is left
    query = query.with_hint(rows, "INDEXED BY idx_rows_at", "sqlite")
    return query.order_by(rows.c.at, log.id).limit(ROWS_AT_ONCE)


def _plain(name: str) -> ColumnElement[Any]:
    return literal_column(f"request_rows.{name}").label(name)


def _row(row: Any, texts: Texts, priced: RateTable) -> Exported:
    _, at, caller, kind, detail, session, what, request, upstream, response, trace, *more = row
    *rest, message, provider_cost, units = more
    tokens_in, out, cached, reasoning, write, write_1h, *others = rest[: len(COUNTS)]
    model, tier, provider, succeeded = texts.priced_by[kind]
    pico = priced.cost(
        at,
        model,
        tier,
        tokens_in,
        out,
        cached,
        reasoning,
        succeeded == "success" and what != "read",
        provider=provider,
        write=write,
        write_1h=write_1h,
        others=others if others != [None] * 4 else None,
        extra_units=units_of(units) if units else None,
    )
    own = (_text(request), upstream, response, _text(trace))
    message = without_likely(message[:MAX_FAILURE]) if message else None
    return Exported(at, own, session, (caller, kind, detail), rest, message, provider_cost, units, pico)


def _text(id: Any) -> str | None:
    return id.hex() if isinstance(id, bytes) else id
