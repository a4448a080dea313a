from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs
from sqlalchemy import Engine, delete, inspect, select, text
from sqlalchemy.exc import IntegrityError

from ledger.pricing.counts import counts_of, is_metered
from ledger.pricing.steps import NO_TOKENS, context_step
from ledger.request_tables import COUNT_COLUMNS, request_sessions
from ledger.requests.conversion import event_of
from ledger.requests.dictionaries import SESSIONS
from ledger.requests.queries import list_accounts
from ledger.requests.writes import ensure_account, record
from ledger.schema import daily_stats, request_durations, request_hourly, request_logs, request_rows
from ledger.values import RequestEvent, Usage
from tests.support.corrections import hide
from tests.support.examples import examples

EventFactory = Callable[..., RequestEvent]
DayKey = tuple[str, str, str, str, int]
TEXT = st.text(st.characters(), max_size=300)  # with NUL and halves of surrogate pairs
FROM_OUTSIDE = [
    "request_id",
    "upstream_request_id",
    "model",
    "reasoning_effort",
    "service_tier",
    "error_code",
    "error_message",
    "session_id",
    "user_agent",
]
EVENT_LOG = [
    "timestamp",
    "model",
    "title",
    "summary",
    "conversation_id",
    "prompt_tokens",
    "cached_prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "reasoning_tokens",
    "usage_included",
    "cache_write_prompt_tokens",
]
SUMS = tuple(column.name for column in daily_stats.columns if not column.primary_key)
EACH_EXAMPLE_EMPTIES_THE_LEDGER = examples(40)


def store(engine: Engine, *batches: list[RequestEvent]) -> None:
    for batch in batches:
        with engine.begin() as connection:
            record(connection, batch)


def empty(engine: Engine) -> None:
    with engine.begin() as connection:
        for table in (request_rows, request_hourly, request_durations, daily_stats):
            connection.execute(delete(table))


def rows(engine: Engine, table: Any) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(table)))


def recomputed(engine: Engine) -> dict[DayKey, dict[str, int]]:
    """What `daily_stats` must hold, counted from the stored requests one by one."""
    days: dict[DayKey, dict[str, int]] = {}
    for r in rows(engine, request_logs):
        event = event_of(r._mapping)
        above = context_step(r.input_tokens)
        key = (r.requested_at.date().isoformat(), r.provider or "", r.model, event.billed_tier or "", above)
        found = days.setdefault(key, dict.fromkeys(SUMS, 0))
        found["requests"] += 1
        found[{"success": "successes", "error": "errors", "cancelled": "cancelled"}[r.status]] += 1
        if is_metered(event.usage, event.extra_units):
            counts = counts_of(event.usage, event.extra_units)
            found["metered"] += 1
            found["reasoning_tokens"] += r.reasoning_tokens or 0
            for name, column in COUNT_COLUMNS.items():
                found[column] += getattr(counts, name)
        elif r.status == "success" and r.request_kind == "normal":
            found["unmetered_successes"] += 1
    return days


def daily(engine: Engine) -> dict[DayKey, dict[str, int]]:
    return {
        (r.day, r.provider, r.model, r.service_tier, r.context_above): {
            name: getattr(r, name) for name in SUMS
        }
        for r in rows(engine, daily_stats)
    }


class TestRecord:
    def test_an_event_is_stored_with_all_it_says(self, ledger: Engine, make_event: EventFactory) -> None:
        event = make_event(
            requested_at=datetime(2026, 8, 21, 23, 59, 59, 250, tzinfo=UTC),
            usage=Usage(1_000, 400, 200, 50, 300, 100, 7, 8, 9, 10),
            upstream_request_id="req_theirs",
            latency_first_token_ms=87.5,
            reasoning_effort="high",
            service_tier="flex",
            status="error",
            http_status=502,
            error_code="server_error",
            error_message="The server had an error",
            end_reason="upstream_error",
            session_id="session-1",
            user_agent="codex/1.0",
            route="/v1/responses/{response_id}",
            instance_id="proxy-a",
            source="collector",
            gateway="cpa-one",
            provider="openai",
            requested_model="gpt-5.6",
            requested_service_tier="fast",
            login=True,
            streamed=False,
            project="proj_1",
            trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
            response_id="resp_1",
            auth_index="auth-3",
            error_class="upstream",
            provider_cost_usd=Decimal("0.000001234"),
            extra_units={"web_search": Decimal(2), "audio_seconds": Decimal("12.340")},
        )
        store(ledger, [event])
        (row,) = rows(ledger, request_logs)
        said = structs.asdict(event)
        elsewhere = {"id", "usage", "billable", "extra_units"}  # stored under other names, as asserted below
        stored_columns = set(request_logs.c.keys())
        left_out = said.keys() - stored_columns - elsewhere  # of use before it is stored
        assert left_out == {
            *("method", "background", "batched", "unmetered", "implausible", "passed_bytes"),
            "failure_body",  # in a table of its own
        }
        assert {name: getattr(row, name) for name in said.keys() - elsewhere - left_out} == {
            name: value for name, value in said.items() if name not in elsewhere | left_out
        }
        assert row.event_id == event.id
        counted = {name: getattr(row, name) for name in Usage.__struct_fields__}
        assert Usage(**counted) == event.usage
        assert row.extra_units == '{"audio_seconds": 12.340, "web_search": 2}'
        assert (row.request_kind, row.deleted_at) == ("normal", None)

    def test_what_was_not_reported_is_stored_as_missing(
        self, ledger: Engine, make_event: EventFactory
    ) -> None:
        store(ledger, [make_event(usage=Usage(), model=None, billable=False)])
        (row,) = rows(ledger, request_logs)
        assert (row.input_tokens, row.output_tokens, row.cached_input_tokens) == (None, None, None)
        assert (row.model, row.request_kind) == ("unknown", "read")

    def test_no_events_are_no_work(self, ledger: Engine) -> None:
        store(ledger, [])
        assert rows(ledger, request_logs) == []

    def test_a_batch_is_stored_whole_or_not_at_all(self, ledger: Engine, make_event: EventFactory) -> None:
        first, second = make_event(), make_event()
        store(ledger, [first])
        before = daily(ledger)
        with pytest.raises(IntegrityError):
            store(ledger, [second, first])
        assert [row.event_id for row in rows(ledger, request_logs)] == [first.id]
        assert daily(ledger) == before

    def test_a_batch_whose_days_cannot_be_raised_is_not_stored_either(
        self, ledger: Engine, make_event: EventFactory
    ) -> None:
        with ledger.begin() as connection:
            connection.execute(text("DROP TABLE daily_stats"))
        with pytest.raises(Exception, match="daily_stats"):
            store(ledger, [make_event()])
        assert rows(ledger, request_logs) == []

    @EACH_EXAMPLE_EMPTIES_THE_LEDGER
    @given(texts=st.fixed_dictionaries(dict.fromkeys(FROM_OUTSIDE, TEXT)))
    @example(texts=dict.fromkeys(FROM_OUTSIDE, "x" * 2_000))
    @example(texts=dict.fromkeys(FROM_OUTSIDE, "\0"))
    @example(texts=dict.fromkeys(FROM_OUTSIDE, "half a pair: \ud800"))
    def test_no_text_from_outside_can_hold_a_batch_up(
        self, ledger: Engine, make_event: EventFactory, texts: dict[str, str]
    ) -> None:
        empty(ledger)
        store(ledger, [make_event(**texts), make_event()])
        assert len(rows(ledger, request_logs)) == 2
        assert daily(ledger) == recomputed(ledger)

    def test_the_largest_counts_fit(self, ledger: Engine, make_event: EventFactory) -> None:
        most = 2**48
        store(ledger, [make_event(usage=Usage(most, most, most, most)) for _ in range(3)])
        assert daily(ledger) == recomputed(ledger)

    @pytest.mark.slow
    def test_what_an_earlier_try_has_stored_is_left_out(
        self, ledger: Engine, make_event: EventFactory
    ) -> None:
        events = [make_event() for _ in range(1_200)]  # more than one question's worth
        store(ledger, events[::2])
        with ledger.begin() as connection:
            record(connection, events, again=True)
            record(connection, events, again=True)
        assert sorted(row.event_id for row in rows(ledger, request_logs)) == sorted(e.id for e in events)
        assert daily(ledger) == recomputed(ledger)


class TestDailyStats:
    def test_requests_that_are_priced_alike_share_a_row(
        self, ledger: Engine, make_event: EventFactory
    ) -> None:
        long = Usage(272_001, 10, 5, 1)
        store(
            ledger,
            [make_event(), make_event(status="error", usage=Usage()), make_event(usage=long)],
            [make_event(), make_event(service_tier="flex"), make_event(usage=Usage(), status="cancelled")],
        )
        plain = ("2026-08-21", "", "gpt-5.6-sol", "", 0)
        untold = (*plain[:4], NO_TOKENS)  # no counts: nobody knows the context
        assert daily(ledger)[plain] == dict.fromkeys(SUMS, 0) | {
            "requests": 2,
            "successes": 2,
            "metered": 2,
            "input_tokens": 2_000,
            "cached_input_tokens": 400,
            "output_tokens": 800,
            "reasoning_tokens": 100,
        }
        assert daily(ledger)[untold] == dict.fromkeys(SUMS, 0) | {"requests": 2, "errors": 1, "cancelled": 1}
        assert set(daily(ledger)) == {plain, untold, (*plain[:3], "flex", 0), (*plain[:4], 272_000)}

    @pytest.mark.parametrize(
        ("changes", "unmetered"),
        [
            ({}, 1),
            ({"billable": False}, 0),
            ({"status": "error"}, 0),
            ({"status": "cancelled"}, 0),
            ({"usage": Usage(input_tokens=1)}, 1),
            ({"usage": Usage(1, 1)}, 0),
        ],
    )
    def test_a_success_that_should_have_reported_its_usage_is_counted(
        self, ledger: Engine, make_event: EventFactory, changes: dict[str, Any], unmetered: int
    ) -> None:
        store(ledger, [make_event(**{"usage": Usage(), **changes})])
        (row,) = daily(ledger).values()
        assert row["unmetered_successes"] == unmetered

    def test_a_day_ends_at_utc_midnight(self, ledger: Engine, make_event: EventFactory) -> None:
        times = [datetime(2026, 8, 21, 23, 59, 59, 999_999, tzinfo=UTC), datetime(2026, 8, 22, tzinfo=UTC)]
        store(ledger, [make_event(requested_at=time) for time in times])
        assert sorted(key[0] for key in daily(ledger)) == ["2026-08-21", "2026-08-22"]

    @EACH_EXAMPLE_EMPTIES_THE_LEDGER
    @given(data=st.data())
    def test_however_events_are_batched_the_days_are_their_requests_counted_one_by_one(
        self, ledger: Engine, events: st.SearchStrategy[RequestEvent], data: st.DataObject
    ) -> None:
        empty(ledger)
        store(ledger, *data.draw(st.lists(st.lists(events, max_size=8), max_size=4)))
        assert daily(ledger) == recomputed(ledger)


class TestEventLog:
    def test_it_has_the_columns_that_its_readers_know(self, ledger: Engine) -> None:
        assert [column["name"] for column in inspect(ledger).get_columns("event_log")] == EVENT_LOG

    @pytest.mark.parametrize(
        ("usage", "row"),
        [
            (Usage(1_000, 400, 200, 50), (1_000, 200, 400, 1_400, 50, 1, 0)),
            (Usage(1_000, 400, 200, 50, 30, 5), (1_000, 200, 400, 1_400, 50, 1, 35)),
            (Usage(1_000, None, None, 50), (1_000, 0, 50, 1_050, 50, 1, 0)),
            (Usage(1_000), (1_000, 0, 0, 1_000, 0, 0, 0)),
            (Usage(), (0, 0, 0, 0, 0, 0, 0)),
        ],
    )
    def test_it_shows_a_request_as_its_readers_expect(
        self, ledger: Engine, make_event: EventFactory, usage: Usage, row: tuple[int, ...]
    ) -> None:
        store(ledger, [make_event(usage=usage, session_id="session-1")])
        with ledger.connect() as connection:
            (found,) = connection.execute(text("SELECT * FROM event_log"))
        assert str(found.timestamp).startswith("2026-08-21 12:00:00")
        assert tuple(found)[1:] == ("gpt-5.6-sol", None, None, "session-1", *row)

    def test_a_deleted_request_is_not_in_it(self, ledger: Engine, make_event: EventFactory) -> None:
        store(ledger, [make_event(), make_event()])
        with ledger.begin() as connection:
            hide(connection, [1], datetime(2026, 8, 22, tzinfo=UTC))
            assert connection.execute(text("SELECT count(*) FROM event_log")).scalar() == 1


class TestAccounts:
    def test_an_account_that_is_there_stays_as_it_is(self, ledger: Engine) -> None:
        made = datetime(2026, 1, 2, tzinfo=UTC)
        with ledger.begin() as connection:
            ensure_account(connection, id="one", email="a@example.com", status="paused", created_at=made)
            ensure_account(connection, id="one", email="b@example.com", created_at=made)
            ensure_account(connection, id="two", created_at=made)
            one, two = list_accounts(connection)
        assert (one.email, one.status) == ("a@example.com", "paused")
        assert (two.email, two.status, two.plan_type) == ("", "active", "unknown")


def test_a_number_that_a_failed_transaction_gave_out_is_not_remembered(ledger: Engine) -> None:
    """Also where it was found again within it, by another text that is stored alike: the number may be
    somebody else's by then."""
    with ledger.connect() as connection:
        with connection.begin() as failing:
            for length in (250, 240):
                SESSIONS.numbers(connection, [("a" * length,)])
            failing.rollback()
        with connection.begin():
            other = SESSIONS.numbers(connection, [("somebody else's",)])[("somebody else's",)]
            again = SESSIONS.numbers(connection, [("a" * 240,)])[("a" * 240,)]
            stored = connection.execute(select(request_sessions.c.id, request_sessions.c.session_id)).all()
    assert dict(map(tuple, stored)) == {other: "somebody else's", again: "a" * 200}


def test_long_texts_are_stored_but_not_kept_in_memory(ledger: Engine, make_event: EventFactory) -> None:
    """Clients choose them: models, tiers and user agents of any length, each another one."""

    def long(number: int) -> str:
        return f"{number} " + 20_000 * "x"

    def send(numbers: range) -> None:
        for number in numbers:
            sent = make_event(model=long(number), service_tier=long(number), user_agent=long(number))
            store(ledger, [sent])

    send(range(20))
    store(ledger, [make_event()])
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(2):  # the second time they are found
        send(range(20, 60))
    store(ledger, [make_event()])
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert held < 40 * 20_000
    with ledger.connect() as connection:
        log = request_logs.c
        stored = set(connection.execute(select(log.model, log.service_tier, log.user_agent)).all())
    assert stored >= {(long(n)[:200], long(n)[:40], long(n)[:200]) for n in range(60)}
