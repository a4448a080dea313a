"""Rows and their sums under everything that can happen to them, against a recount of the rows in Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace
from sqlalchemy import Engine, delete, select

from ledger.columns import micros
from ledger.pricing.counts import counts_of, is_metered
from ledger.pricing.prices import PriceBook
from ledger.pricing.steps import context_step
from ledger.request_tables import CALLER, COUNT_COLUMNS, KIND
from ledger.requests import queries
from ledger.requests.conversion import event_of
from ledger.requests.filter import RequestFilter
from ledger.requests.sums.histogram import bucket
from ledger.requests.sums.rollups import HOUR
from ledger.requests.writes import record
from ledger.schema import (
    daily_stats,
    request_callers,
    request_changes,
    request_durations,
    request_hourly,
    request_kinds,
    request_logs,
    request_rows,
)
from ledger.values import RequestEvent
from tests.support.corrections import hide, remove, replace_event
from tests.support.examples import examples

EventFactory = Callable[..., RequestEvent]
SUMS = ("requests", "metered", "unmetered", "reasoning_tokens", *COUNT_COLUMNS.values())
NO_PRICES = PriceBook(())
LATER = datetime(2027, 1, 1, tzinfo=UTC)


class Broken(Exception):
    """The machine went off in the middle of a transaction."""


def recount(engine: Engine) -> tuple[dict[Any, Any], dict[Any, Any], dict[Any, Any]]:
    """What the three tables of sums must hold."""
    hours: dict[Any, Counter[str]] = {}
    durations: Counter[Any] = Counter()
    days: dict[Any, Counter[str]] = {}
    with engine.connect() as connection:
        rows = connection.execute(select(request_logs).where(request_logs.c.deleted_at.is_(None))).all()
    for row in rows:
        event, hour = event_of(dict(row._mapping)), micros(row.requested_at) // HOUR
        metered = is_metered(event.usage, event.extra_units)
        counts = counts_of(event.usage, event.extra_units)
        one = Counter(
            requests=1,
            metered=int(metered),
            unmetered=int(not metered and event.status == "success" and event.billable),
            reasoning_tokens=(event.usage.reasoning_tokens or 0) if metered else 0,
            **{column: getattr(counts, name) * metered for name, column in COUNT_COLUMNS.items()},
        )
        who = tuple(getattr(row, name) for name in CALLER)
        what = tuple(getattr(row, name) for name in KIND)
        key = (hour, who, what)
        hours.setdefault(key, Counter()).update(one)
        day = (
            row.requested_at.date().isoformat(),
            row.provider or "",
            row.model,
            event.billed_tier or "",
            context_step(row.input_tokens),
        )
        days.setdefault(day, Counter()).update(one)
        days[day].update({event.status: 1})
        for measure, duration in ((0, row.latency_ms), (1, row.latency_first_token_ms)):
            if duration is not None:
                durations[(hour, what, measure, bucket(duration))] += 1
    return hours, durations, days


def stored(engine: Engine) -> tuple[dict[Any, Any], dict[Any, Any], dict[Any, Any]]:
    """What they hold."""
    with engine.connect() as connection:
        callers = {
            r.id: tuple(getattr(r, n) for n in CALLER) for r in connection.execute(select(request_callers))
        }
        kinds = {r.id: tuple(getattr(r, n) for n in KIND) for r in connection.execute(select(request_kinds))}
        hours = {
            (r.hour, callers[r.caller_id], kinds[r.kind_id]): Counter({n: getattr(r, n) for n in SUMS})
            for r in connection.execute(select(request_hourly))
        }
        durations = {
            (r.hour, kinds[r.kind_id], r.measure, r.bucket): r.number
            for r in connection.execute(select(request_durations))
        }
        days = {}
        for r in connection.execute(select(daily_stats)):
            sums = Counter(
                {
                    n: getattr(r, n)
                    for n in ("requests", "metered", "reasoning_tokens", *COUNT_COLUMNS.values())
                }
            )
            sums.update(
                unmetered=r.unmetered_successes, success=r.successes, error=r.errors, cancelled=r.cancelled
            )
            days[(r.day, r.provider, r.model, r.service_tier, r.context_above)] = sums
    return hours, durations, days


def requests_by_key(hours: dict[Any, Counter[str]]) -> dict[Any, tuple[int, int]]:
    """Requests and input tokens of each key."""
    found: dict[Any, tuple[int, int]] = {}
    for (_, who, _), sums in hours.items():
        key = who[CALLER.index("api_key_id")]
        requests, tokens = found.get(key, (0, 0))
        found[key] = (requests + sums["requests"], tokens + sums["input_tokens"])
    return found


def remembered(engine: Engine) -> dict[Any, tuple[int, int]]:
    """The same as a process answers that remembers what it has answered before."""
    with engine.connect() as connection:
        groups = queries.by(connection, RequestFilter(), "api_key_id", NO_PRICES).groups
    return {group.value: (group.totals.requests, group.totals.counts.input) for group in groups}


def empty(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in (request_rows, request_hourly, request_durations, daily_stats, request_changes):
            connection.execute(delete(table))


@pytest.mark.slow
def test_sums_are_the_rows_counted_again_whatever_happened(
    ledger: Engine, events: st.SearchStrategy[RequestEvent]
) -> None:
    varied = st.builds(
        replace,
        events,
        latency_first_token_ms=st.sampled_from([None, 3.0, 900.0]),
        latency_ms=st.sampled_from([0.4, 1_234.5, 10_000_000.0]),
        api_key_id=st.sampled_from(["key-a", "key-b"]),
        provider=st.sampled_from([None, "openai"]),
        error_class=st.sampled_from([None, "quota"]),
    )

    class Machine(RuleBasedStateMachine):
        known = Bundle("known")

        def __init__(self) -> None:
            super().__init__()
            empty(ledger)

        @rule(target=known, batch=st.lists(varied, max_size=4))
        def store(self, batch: list[RequestEvent]) -> list[RequestEvent]:
            with ledger.begin() as connection:
                record(connection, batch)
            return batch

        @rule(batch=known)
        def store_again(self, batch: list[RequestEvent]) -> None:
            with ledger.begin() as connection:
                record(connection, batch, again=True)

        @rule(batch=st.lists(varied, min_size=1, max_size=3))
        def crash(self, batch: list[RequestEvent]) -> None:
            with pytest.raises(Broken), ledger.begin() as connection:
                record(connection, batch)
                raise Broken

        @rule(
            batch=st.lists(varied, min_size=1, max_size=2), late=st.timedeltas(timedelta(1), timedelta(400))
        )
        def store_late(self, batch: list[RequestEvent], late: timedelta) -> None:
            with ledger.begin() as connection:
                record(connection, [replace(e, requested_at=e.requested_at - late) for e in batch])

        @rule(batch=consumes(known))
        def delete(self, batch: list[RequestEvent]) -> None:
            with ledger.begin() as connection:
                remove(connection, self._ids(connection, batch))

        @rule(batch=known)
        def mark_as_deleted(self, batch: list[RequestEvent]) -> None:
            with ledger.begin() as connection:
                hide(connection, self._ids(connection, batch), LATER)

        @rule(batch=known, other=varied)
        def correct(self, batch: list[RequestEvent], other: RequestEvent) -> None:
            for event in batch[:1]:
                with ledger.begin() as connection:
                    replace_event(connection, replace(other, id=event.id))

        @rule(batch=known)
        def crash_while_deleting(self, batch: list[RequestEvent]) -> None:
            with pytest.raises(Broken), ledger.begin() as connection:
                remove(connection, self._ids(connection, batch))
                raise Broken

        @invariant()
        def the_sums_are_those_of_the_rows(self) -> None:
            counted = recount(ledger)
            for found, wanted in zip(stored(ledger), counted, strict=True):
                assert found == wanted
            assert remembered(ledger) == requests_by_key(counted[0])

        @staticmethod
        def _ids(connection: Any, batch: list[RequestEvent]) -> list[int]:
            ids = select(request_rows.c.id).where(request_rows.c.event_id.in_([event.id for event in batch]))
            return list(connection.execute(ids).scalars())

    run_state_machine_as_test(
        Machine,
        settings=settings(
            examples(25),
            stateful_step_count=12,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_kind_that_a_failed_transaction_was_the_first_to_use_is_stored_with_the_next(
    ledger: Engine, make_event: EventFactory
) -> None:
    """On one connection, which remembers the numbers of texts."""
    with ledger.connect() as connection:
        with connection.begin() as transaction:
            record(connection, [make_event(model="first", session_id="s-1")])
            transaction.rollback()
        with connection.begin():
            record(connection, [make_event(model="second", session_id="s-2")])
        with connection.begin():
            record(connection, [make_event(model="first", session_id="s-1")])
        rows = connection.execute(select(request_logs.c.model, request_logs.c.session_id)).all()
    assert [tuple(row) for row in rows] == [("second", "s-2"), ("first", "s-1")]
    assert stored(ledger)[0] == recount(ledger)[0]
