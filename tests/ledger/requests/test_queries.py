from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import astuple
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, delete
from sqlalchemy.event import listen

from ledger.pricing.cost import Spend, TokenSum, price_event
from ledger.pricing.counts import Counts
from ledger.pricing.files import book, load_seed
from ledger.requests.queries import account_sums, day_sums, list_accounts, newest_request
from ledger.requests.writes import ensure_account, record
from ledger.schema import daily_stats, request_durations, request_hourly, request_rows
from ledger.store import migrate, sqlite_url, writer
from ledger.values import RequestEvent, Usage
from tests.support.corrections import hide
from tests.support.examples import examples
from tests.support.sums import price_sums

EventFactory = Callable[..., RequestEvent]
SEEDED = book(load_seed())
FIRST, LAST = datetime(2026, 8, 19, tzinfo=UTC), datetime(2026, 8, 25, tzinfo=UTC)
MOMENTS = st.one_of(
    st.sampled_from([datetime(2026, 8, day, tzinfo=UTC) for day in (20, 21, 22, 23)]),
    st.datetimes(FIRST.replace(tzinfo=None), LAST.replace(tzinfo=None), timezones=st.just(UTC)),
)
EACH_EXAMPLE_EMPTIES_THE_LEDGER = examples(40)


def refill(engine: Engine, events: list[RequestEvent]) -> None:
    with engine.begin() as connection:
        for table in (request_rows, request_hourly, request_durations, daily_stats):
            connection.execute(delete(table))
        record(connection, events)


def spend_of(event: RequestEvent) -> Spend:
    """One request priced by itself."""
    cost = price_event(SEEDED, event)
    if isinstance(cost, Decimal):
        return Spend(cost)
    usage = event.usage
    metered = usage.input_tokens is not None and usage.billed_output is not None
    counts = metered or (event.status == "success" and event.billable)
    return Spend(unpriced_requests=int(counts))


def one_by_one(events: Iterable[RequestEvent]) -> Spend:
    return sum((spend_of(e) for e in events), Spend())


def sums(engine: Engine, since: datetime, until: datetime) -> dict[str, tuple[TokenSum, ...]]:
    with engine.connect() as connection:
        return dict(account_sums(connection, since, until))


def spends(found: dict[str, tuple[TokenSum, ...]]) -> dict[str, Spend]:
    return {key: price_sums(SEEDED, rows) for key, rows in found.items()}


class TestAccountSums:
    def test_across_midnight_and_a_price_change(self, ledger: Engine, make_event: EventFactory) -> None:
        change = datetime(2026, 8, 21, tzinfo=UTC)
        refill(
            ledger,
            [
                make_event(requested_at=change - timedelta(microseconds=1), usage=Usage(1_000, 100, 200)),
                make_event(requested_at=change, usage=Usage(1_000, 100, 200)),
                make_event(requested_at=change, account_id="two", model="gpt-5.9"),
            ],
        )
        found = spends(sums(ledger, FIRST, LAST))
        # 800 * 5 + 200 * 0.5 + 100 * 30 before, 800 * 4 + 200 * 0.4 + 100 * 20 after
        assert found == {"default": Spend(Decimal("0.01238")), "two": Spend(Decimal(0), 1)}

    @pytest.mark.parametrize(
        "changes",
        [
            {"usage": Usage(1_000, 100, 200)},
            {"usage": Usage(1_000, 100, 5_000)},
            {"usage": Usage(1_000, 100, -1)},
            {"usage": Usage(1_000, 100)},
            {"usage": Usage(1_000, None, 200, 70)},
            {"usage": Usage(0, 0, 5)},
            {"usage": Usage(272_000, 100, 200)},
            {"usage": Usage(272_001, 100, 200)},
            {"usage": Usage(272_001, 100, 272_002), "service_tier": "priority"},
            {"service_tier": "flex"},
            {"service_tier": "auto"},
            {"service_tier": ""},
            {"model": "gpt-5.5-pro"},
            {"model": "GPT-5.5-2026-03-05"},
            {"model": None},
            {"model": "gpt-5.9", "usage": Usage()},
            {"model": "gpt-5.9", "usage": Usage(), "status": "error"},
            {"model": "gpt-5.9", "status": "error"},
            {"usage": Usage()},
            {"usage": Usage(input_tokens=1_000)},
            {"usage": Usage(), "status": "error"},
            {"usage": Usage(), "status": "cancelled"},
            {"usage": Usage(), "billable": False},
            {"status": "cancelled"},
        ],
        ids=str,
    )
    @pytest.mark.slow
    def test_a_single_request_costs_what_it_costs_by_itself(
        self, ledger: Engine, make_event: EventFactory, changes: dict[str, Any]
    ) -> None:
        event = make_event(**changes)
        refill(ledger, [event])
        with ledger.connect() as connection:
            by_day = spends(dict(day_sums(connection, "2026-08-21", "2026-08-21")))
        assert spends(sums(ledger, FIRST, LAST)).get("default", Spend()) == spend_of(event)
        assert by_day.get("2026-08-21", Spend()) == spend_of(event)

    def test_the_first_moment_is_in_and_the_last_is_not(
        self, ledger: Engine, make_event: EventFactory
    ) -> None:
        since, until = datetime(2026, 8, 20, 6, tzinfo=UTC), datetime(2026, 8, 21, 6, tzinfo=UTC)
        at = [since - timedelta(microseconds=1), since, until - timedelta(microseconds=1), until]
        refill(ledger, [make_event(requested_at=moment) for moment in at])
        assert sum(row.metered for row in sums(ledger, since, until)["default"]) == 2

    def test_counts_are_whole_numbers(self, ledger: Engine, make_event: EventFactory) -> None:
        refill(ledger, [make_event()])
        (row,) = sums(ledger, FIRST, LAST)["default"]
        assert row == TokenSum(
            "gpt-5.6-sol", None, 0, datetime(2026, 8, 21, tzinfo=UTC), 1, 0, Counts(1_000, 200, output=400)
        )
        counts = (row.metered, row.unmetered, row.context_above, *astuple(row.counts))
        assert {type(count) for count in counts} == {int}

    def test_days_are_utc_days_whatever_the_zone_of_the_bounds(
        self, ledger: Engine, make_event: EventFactory
    ) -> None:
        change = datetime(2026, 8, 21, tzinfo=UTC)
        refill(ledger, [make_event(requested_at=change + timedelta(minutes=m)) for m in (-1, 1)])
        west = timezone(timedelta(hours=-7))
        assert spends(sums(ledger, FIRST.astimezone(west), LAST.astimezone(west))) == spends(
            sums(ledger, FIRST, LAST)
        )

    def test_nothing_stored_is_nothing_found(self, ledger: Engine) -> None:
        assert sums(ledger, FIRST, LAST) == {}

    @pytest.mark.slow
    def test_a_deleted_request_is_gone(self, ledger: Engine, make_event: EventFactory) -> None:
        refill(ledger, [make_event(account_id="one"), make_event(account_id="two")])
        with ledger.begin() as connection:
            hide(connection, [1], LAST)
        assert set(sums(ledger, FIRST, LAST)) == {"two"}

    def test_a_request_without_account_is_booked_on_unknown(
        self, ledger: Engine, make_event: EventFactory
    ) -> None:
        refill(ledger, [make_event(account_id=None)])
        assert set(sums(ledger, FIRST, LAST)) == {"unknown"}

    @EACH_EXAMPLE_EMPTIES_THE_LEDGER
    @given(data=st.data(), bounds=st.lists(MOMENTS, min_size=2, max_size=2).map(sorted))
    def test_they_cost_exactly_what_the_requests_cost_one_by_one(
        self,
        ledger: Engine,
        events: st.SearchStrategy[RequestEvent],
        data: st.DataObject,
        bounds: list[datetime],
    ) -> None:
        since, until = bounds
        stored = data.draw(st.lists(events, max_size=15))
        refill(ledger, stored)
        within = [e for e in stored if since <= e.requested_at < until]
        found = spends(sums(ledger, since, until))
        for account in ("one", "two"):
            expected = one_by_one(e for e in within if e.account_id == account)
            assert found.get(account, Spend()) == expected


class TestDaySums:
    @EACH_EXAMPLE_EMPTIES_THE_LEDGER
    @given(data=st.data())
    def test_they_cost_exactly_what_the_requests_cost_one_by_one(
        self, ledger: Engine, events: st.SearchStrategy[RequestEvent], data: st.DataObject
    ) -> None:
        stored = data.draw(st.lists(events, max_size=15))
        refill(ledger, stored)
        with ledger.connect() as connection:
            found = spends(dict(day_sums(connection, "2026-08-20", "2026-08-22")))
        for day in ("2026-08-20", "2026-08-21", "2026-08-22"):
            expected = one_by_one(e for e in stored if e.requested_at.date().isoformat() == day)
            assert found.get(day, Spend()) == expected

    def test_both_ends_are_included(self, ledger: Engine, make_event: EventFactory) -> None:
        days = [datetime(2026, 8, day, 12, tzinfo=UTC) for day in (19, 20, 21, 22)]
        refill(ledger, [make_event(requested_at=day) for day in days])
        with ledger.connect() as connection:
            assert list(day_sums(connection, "2026-08-20", "2026-08-21")) == ["2026-08-20", "2026-08-21"]


class TestNewestRequest:
    def test_it_is_the_latest_to_the_microsecond(self, ledger: Engine, make_event: EventFactory) -> None:
        latest = datetime(2026, 8, 21, 12, 0, 0, 1, tzinfo=UTC)
        refill(ledger, [make_event(requested_at=latest), make_event()])
        with ledger.connect() as connection:
            assert newest_request(connection) == latest

    def test_an_empty_ledger_has_none(self, ledger: Engine) -> None:
        with ledger.connect() as connection:
            assert newest_request(connection) is None


class TestAccounts:
    def test_they_come_by_id_in_lower_case_without_the_hidden(self, ledger: Engine) -> None:
        now = datetime(2026, 1, 2, tzinfo=UTC)
        with ledger.begin() as connection:
            ensure_account(connection, id="b", status="PAUSED", plan_type="Plus", created_at=now)
            ensure_account(connection, id="a", email="Me@example.com", created_at=now)
            ensure_account(connection, id="c", created_at=now, delete_requested_at=now)
            found = list_accounts(connection)
        assert [(a.id, a.email, a.status, a.plan_type) for a in found] == [
            ("a", "Me@example.com", "active", "unknown"),
            ("b", "", "paused", "plus"),
        ]


class TestSpeed:
    """Without an index every scrape would read the whole ledger."""

    @pytest.mark.parametrize(
        "read", [newest_request, lambda connection: account_sums(connection, FIRST, LAST)]
    )
    def test_requests_are_read_by_an_index(
        self, tmp_path: Path, make_event: EventFactory, read: Callable[[Connection], object]
    ) -> None:
        engine = writer(sqlite_url(tmp_path / "usage.db"))
        migrate(engine)
        refill(engine, [make_event()])
        asked: list[tuple[str, Any]] = []
        listen(engine, "before_cursor_execute", lambda *args: asked.append((args[2], args[3])))
        with engine.connect() as connection:
            read(connection)
            plans = [connection.exec_driver_sql("EXPLAIN QUERY PLAN " + q, p).all() for q, p in [*asked]]
        engine.dispose()
        assert plans
        for plan in plans:
            assert "idx_rows_at" in str(plan)
