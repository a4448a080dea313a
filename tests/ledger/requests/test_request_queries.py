"""The questions about requests, against a recount in Python of what was stored."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from sqlalchemy import Connection, Engine, delete, select, text
from sqlalchemy import event as sqlalchemy_event

from ledger.errors import FilterError, TooSlow
from ledger.pricing.cost import price_request
from ledger.pricing.counts import Counts, counts_of, is_metered
from ledger.pricing.files import book, load_seed
from ledger.pricing.prices import PriceBook
from ledger.pricing.steps import context_step
from ledger.requests import queries, rows
from ledger.requests.answers import Cursor, Totals
from ledger.requests.filter import DIMENSIONS, RequestFilter
from ledger.requests.limits import Limit, asking
from ledger.requests.sums.grouping import priced_rows
from ledger.requests.sums.histogram import BOUNDS, Histogram, bucket
from ledger.requests.writes import record
from ledger.schema import (
    daily_stats,
    request_changes,
    request_durations,
    request_hourly,
    request_logs,
    request_rows,
)
from ledger.store import reader
from ledger.values import RequestEvent, Usage
from tests.support.corrections import hide
from tests.support.examples import examples
from tests.support.sums import histogram_of

EventFactory = Callable[..., RequestEvent]
SEEDED = book(load_seed())
DAY = datetime(2026, 8, 21, tzinfo=UTC)
ALL = RequestFilter()
SEVERAL = examples(30)


def refill(engine: Engine, events: list[RequestEvent]) -> None:
    with engine.begin() as connection:
        for table in (request_rows, request_hourly, request_durations, daily_stats, request_changes):
            connection.execute(delete(table))
        record(connection, events)


def request_id_of(connection: Connection, session: str) -> int:
    """The id of a row by its session."""
    found = select(request_logs.c.id).where(request_logs.c.session_id == session)
    return int(connection.execute(found).scalar_one())


@pytest.fixture
def readers(ledger: Engine) -> Iterator[Engine]:
    """An engine that cannot write."""
    engine = reader(ledger.url)
    yield engine
    engine.dispose()


@pytest.fixture
def ask(readers: Engine) -> Callable[..., Any]:
    """Asks a question."""

    def ask(question: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        with asking(readers, Limit(60)) as connection:
            return question(connection, *arguments, **named)

    return ask


def expected(events: list[RequestEvent], prices: PriceBook = SEEDED) -> Totals:
    """The totals of some events, counted one by one."""
    found = Totals()
    for e in events:
        metered = is_metered(e.usage, e.extra_units)
        cost = price_request(prices, e.model, e.usage, e.requested_at, e.billed_tier, None, e.extra_units)
        unmetered = not metered and e.status == "success" and e.billable
        found += Totals(
            requests=1,
            successes=int(e.status == "success"),
            errors=int(e.status == "error"),
            cancelled=int(e.status == "cancelled"),
            metered=int(metered),
            unmetered=int(unmetered),
            reasoning=(e.usage.reasoning_tokens or 0) if metered else 0,
            counts=counts_of(e.usage, e.extra_units) if metered else Counts(),
            usd=cost if isinstance(cost, Decimal) else Decimal(0),
            unpriced=int(unmetered or (metered and not isinstance(cost, Decimal))),
            latency=histogram_of([e.latency_ms]),
            first_token=histogram_of([] if e.latency_first_token_ms is None else [e.latency_first_token_ms]),
        )
    return found


class TestTotals:
    @SEVERAL
    @given(data=st.data())
    def test_they_are_the_requests_counted_one_by_one(
        self,
        ledger: Engine,
        ask: Callable[..., Any],
        events: st.SearchStrategy[RequestEvent],
        data: st.DataObject,
    ) -> None:
        stored = data.draw(st.lists(events, max_size=12))
        refill(ledger, stored)
        since = data.draw(st.sampled_from([DAY, DAY + timedelta(hours=7, minutes=30)]))
        until = since + data.draw(st.sampled_from([timedelta(hours=1), timedelta(days=1), timedelta(days=2)]))
        within = [e for e in stored if since <= e.requested_at < until]
        assert ask(queries.totals, RequestFilter(since, until), SEEDED) == expected(within)
        assert ask(queries.totals, ALL, SEEDED) == expected(stored)

    @SEVERAL
    @given(data=st.data())
    def test_periods_that_overlap_are_each_counted_in_full(
        self,
        ledger: Engine,
        ask: Callable[..., Any],
        events: st.SearchStrategy[RequestEvent],
        data: st.DataObject,
    ) -> None:
        stored = data.draw(st.lists(events, max_size=12))
        refill(ledger, stored)
        moments = st.builds(lambda h: DAY + timedelta(hours=h), st.integers(-30, 60))
        bounds = st.lists(moments, min_size=2, max_size=2, unique=True).map(lambda two: tuple(sorted(two)))
        periods = data.draw(st.lists(bounds, min_size=1, max_size=4))
        found = ask(queries.totals_of_periods, ALL, periods, SEEDED)
        for (since, until), totals in zip(periods, found, strict=True):
            assert totals == expected([e for e in stored if since <= e.requested_at < until])

    def test_the_period_before_is_as_long(
        self, ledger: Engine, ask: Callable[..., Any], make_event: EventFactory
    ) -> None:
        refill(ledger, [make_event(requested_at=DAY + timedelta(hours=h)) for h in (1, 2, 3, -1)])
        now, then = ask(queries.compared, RequestFilter(DAY, DAY + timedelta(hours=4)), SEEDED)
        assert (now.requests, then.requests) == (3, 1)
        with pytest.raises(FilterError, match="since and until"):
            ask(queries.compared, ALL, SEEDED)

    def test_rates_are_of_what_they_say(self) -> None:
        some = Totals(
            requests=5, successes=3, errors=1, cancelled=1, counts=Counts(input=200, cached_input=50)
        )
        assert (some.success_rate, some.cache_hit_rate) == (0.75, 0.25)
        assert (Totals().success_rate, Totals().cache_hit_rate) == (None, None)


VALUES: dict[str, tuple[Any, Any]] = {
    "provider": ("openai", "anthropic"),
    "model": ("gpt-5.5", "gpt-5.4"),
    "requested_model": ("gpt-5", "opus"),
    "project": ("proj_a", None),
    "api": ("responses", "embeddings"),
    "account_id": ("one", "two"),
    "auth_index": ("a1", None),
    "api_key_id": ("sk-a...1234", "sk-b...5678"),
    "gateway": ("cpa", None),
    "instance_id": ("proxy-a", "proxy-b"),
    "source": ("proxy", "collector"),
    "status": ("success", "error"),
    "http_status": (200, 502),
    "error_class": ("upstream", None),
    "error_code": ("server_error", None),
    "service_tier": ("flex", None),
    "reasoning_effort": ("high", None),
    "session_id": ("s-1", "s-2"),
    "trace_id": ("t-1", None),
    "request_id": ("r-1", "r-2"),
    "user_agent": ("codex/1.0", None),
    "streamed": (True, False),
}


class TestRareRows:
    """What is not found among the last rows is looked for by the index that leads to the fewest."""

    @pytest.mark.parametrize("rare", [{"project": ("p",)}, {"model": ("m",)}, {"session_id": ("s",)}, {}])
    def test_are_found_whatever_else_is_asked(
        self,
        ledger: Engine,
        ask: Callable[..., Any],
        make_event: EventFactory,
        monkeypatch: pytest.MonkeyPatch,
        rare: dict[str, Any],
    ) -> None:
        monkeypatch.setattr(rows, "RECENT_ROWS", 2)
        old = make_event(id="old", project="p", model="m", session_id="s", latency_first_token_ms=9_000.0)
        since = DAY - timedelta(days=1)
        refill(ledger, [structs.replace(old, requested_at=since), *(make_event() for _ in range(6))])
        where = RequestFilter(since, status=("success",), min_first_token_ms=8_000.0, **rare)
        assert [row.event_id for row in ask(queries.page, where, SEEDED).rows] == ["old"]


class TestFilter:
    @pytest.mark.parametrize("dimension", DIMENSIONS)
    @pytest.mark.slow
    def test_each_dimension_narrows_and_groups(
        self, ledger: Engine, ask: Callable[..., Any], make_event: EventFactory, dimension: Any
    ) -> None:
        one, other = VALUES[dimension]
        refill(
            ledger,
            [
                make_event(**{dimension: one}),
                make_event(**{dimension: one}),
                make_event(**{dimension: other}),
            ],
        )
        assert ask(queries.totals, ALL.having(dimension, one), SEEDED).requests == 2
        assert len(ask(queries.page, ALL.having(dimension, one), SEEDED).rows) == 2
        assert ask(queries.totals, ALL.having(dimension, other), SEEDED).requests == 1
        assert ask(queries.totals, ALL.having(dimension, one, other), SEEDED).requests == 3
        found = ask(queries.by, ALL, dimension, SEEDED, order="requests")
        assert [(group.value, group.totals.requests) for group in found.groups] == [(one, 2), (other, 1)]
        assert ask(queries.values, ALL, dimension) == ((one, 2), (other, 1))

    @pytest.mark.parametrize(
        ("given", "named"),
        [
            ({"cache": ("hit",)}, {"hit"}),
            ({"cache": ("write",)}, {"write"}),
            ({"cache": ("miss",)}, {"miss", "slow"}),
            ({"cache": ("unknown", "hit")}, {"unknown", "hit"}),
            ({"min_latency_ms": 2_000}, {"slow"}),
            ({"max_latency_ms": 1_999.5}, {"hit", "write", "miss", "unknown"}),
            ({"min_first_token_ms": 100}, {"slow"}),
            ({"max_first_token_ms": 1_000, "min_first_token_ms": 900}, {"slow"}),
            ({"unusual_status": True}, {"unknown", "write"}),
            ({"text": "100%"}, {"unknown"}),
            ({"text": "ZÜRICH"}, set()),
            ({"text": "It Broke"}, {"unknown"}),
            ({"text": "r-hi"}, {"hit"}),
        ],
    )
    def test_other_conditions(
        self,
        ledger: Engine,
        ask: Callable[..., Any],
        make_event: EventFactory,
        given: dict[str, Any],
        named: set[str],
    ) -> None:
        refill(
            ledger,
            [
                make_event(request_id="r-hit", session_id="hit", usage=Usage(10, 1, 5)),
                make_event(
                    session_id="write", usage=Usage(10, 1, 0, None, 5), http_status=418, status="error"
                ),
                make_event(session_id="miss", usage=Usage(10, 1)),
                make_event(
                    session_id="unknown", usage=Usage(), status="error", error_message="100% it broke"
                ),
                make_event(
                    session_id="slow", usage=Usage(10, 1), latency_ms=2_000, latency_first_token_ms=1_000
                ),
            ],
        )
        found = ask(queries.page, RequestFilter(**given), SEEDED)
        assert {row.session_id for row in found.rows} == named

    def test_conditions_are_met_together(
        self, ledger: Engine, ask: Callable[..., Any], make_event: EventFactory
    ) -> None:
        refill(ledger, [make_event(model=m, account_id=a) for m in ("x", "y") for a in ("one", "two")])
        where = RequestFilter(model=("x",), account_id=("one",))
        assert ask(queries.totals, where, SEEDED).requests == 1
        assert where.conditions_by_name() == {"model": ("x",), "account_id": ("one",)}

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"since": datetime(2026, 1, 1)}, "since = 2026-01-01 00:00:00: give a time with its zone"),  # noqa: DTZ001
            ({"since": DAY, "until": DAY - timedelta(1)}, "is before since"),
            ({"model": tuple(map(str, range(101)))}, "model: 101 values; at most 100"),
            ({"text": "x" * 201}, "text: 201 characters; at most 200"),
            ({"text": "a\0"}, r"text = 'a\\x00': a character NUL is not allowed"),
        ],
    )
    def test_a_malformed_one_is_refused_by_name(self, given: dict[str, Any], message: str) -> None:
        with pytest.raises(FilterError, match=message):
            RequestFilter(**given)

    def test_what_is_deleted_is_in_no_answer(
        self, ledger: Engine, ask: Callable[..., Any], make_event: EventFactory
    ) -> None:
        refill(ledger, [make_event(session_id="here"), make_event(session_id="gone")])
        with ledger.begin() as connection:
            hide(connection, [request_id_of(connection, "gone")], DAY)
        assert ask(queries.totals, ALL, SEEDED).requests == 1
        assert [row.session_id for row in ask(queries.page, ALL, SEEDED).rows] == ["here"]


class TestBreakdown:
    def test_the_top_ones_and_the_rest_are_the_whole(
        self, ledger: Engine, ask: Callable[..., Any], make_event: EventFactory
    ) -> None:
        events = [make_event(account_id=f"a{n}", usage=Usage(100 * n, 10)) for n in range(1, 8)]
        refill(ledger, events)
        found = ask(queries.by, ALL, "account_id", SEEDED, top=3, durations=True)
        assert [group.value for group in found.groups] == ["a7", "a6", "a5"]
        assert found.values == 7
        assert sum((group.totals for group in found.groups), found.rest) == expected(events)

    def test_an_unknown_dimension_is_refused(self, ask: Callable[..., Any]) -> None:
        with pytest.raises(FilterError, match="dimension 'color' is not known; allowed: provider, model"):
            ask(queries.by, ALL, "color", SEEDED)


class TestSeries:
    @SEVERAL
    @given(data=st.data())
    @pytest.mark.slow
    def test_points_are_the_requests_of_their_time(
        self,
        ledger: Engine,
        ask: Callable[..., Any],
        events: st.SearchStrategy[RequestEvent],
        data: st.DataObject,
    ) -> None:
        stored = data.draw(st.lists(events, max_size=12))
        refill(ledger, stored)
        minutes = data.draw(
            st.lists(st.integers(-2_000, 4_000), min_size=2, max_size=30, unique=True).map(sorted)
        )
        bounds = [DAY + timedelta(minutes=m) for m in minutes]
        (line,) = ask(queries.series, ALL, bounds, SEEDED, durations=True)
        for point, since, until in zip(line.points, bounds, bounds[1:], strict=False):
            assert (point.since, point.until) == (since, until)
            assert point.totals == expected([e for e in stored if since <= e.requested_at < until])

    def test_a_line_for_each_top_value(
        self, ledger: Engine, ask: Callable[..., Any], make_event: EventFactory
    ) -> None:
        refill(ledger, [make_event(model=m, requested_at=DAY) for m in ("x", "y", "y", "z", "z", "z")])
        bounds = [DAY - timedelta(hours=1), DAY, DAY + timedelta(hours=1)]
        lines = ask(queries.series, ALL, bounds, SEEDED, dimension="model", top=2, order="requests")
        assert [(line.value, [p.totals.requests for p in line.points]) for line in lines] == [
            ("z", [0, 3]),
            ("y", [0, 2]),
        ]

    def test_bounds_that_are_none_are_refused(self, ask: Callable[..., Any]) -> None:
        with pytest.raises(FilterError, match="2 bounds"):
            ask(queries.series, ALL, [DAY, DAY], SEEDED)


class TestPages:
    def test_pages_in_both_directions_show_every_row_once(
        self, ledger: Engine, ask: Callable[..., Any], make_event: EventFactory
    ) -> None:
        # several of the same moment, and not stored in the order of time
        events = [make_event(requested_at=DAY + timedelta(seconds=n % 7)) for n in range(50)]
        refill(ledger, events)
        first = ask(queries.page, ALL, SEEDED, size=9)
        assert first.newer is None
        pages, last = [first], first
        while last.older:
            last = ask(queries.page, ALL, SEEDED, size=9, older_than=Cursor.parse(str(last.older)))
            pages.append(last)
        ids = [row.id for page in pages for row in page.rows]
        assert len(ids) == len(set(ids)) == 50
        assert [row.cursor for page in pages for row in page.rows] == sorted(
            (row.cursor for page in pages for row in page.rows), reverse=True
        )
        back = ask(queries.page, ALL, SEEDED, size=9, newer_than=last.newer)
        assert back.rows == pages[-2].rows

    def test_rare_and_frequent_rows_are_found_alike(
        self,
        ledger: Engine,
        ask: Callable[..., Any],
        make_event: EventFactory,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("ledger.requests.rows.RECENT_ROWS", 5)
        events = [
            make_event(requested_at=DAY + timedelta(seconds=n), model="rare" if n % 20 == 0 else "often")
            for n in range(60)
        ]
        refill(ledger, events)
        for model, wanted in (("rare", 3), ("often", 57), ("never", 0)):
            found: list[int] = []
            page = ask(queries.page, ALL.having("model", model), SEEDED, size=4)
            found += [row.id for row in page.rows]
            while page.older:
                page = ask(queries.page, ALL.having("model", model), SEEDED, size=4, older_than=page.older)
                found += [row.id for row in page.rows]
            assert (len(found), found) == (wanted, sorted(found, reverse=True))

    def test_a_row_says_what_was_stored_and_what_it_costs(
        self, ledger: Engine, ask: Callable[..., Any], make_event: EventFactory
    ) -> None:
        event = make_event(
            usage=Usage(1_000, 400, 200, 50, 100),
            extra_units={"audio_seconds": Decimal("12.340")},
            provider_cost_usd=Decimal("0.1"),
            service_tier="default",
            requested_service_tier="priority",
            login=True,
            streamed=True,
        )
        refill(ledger, [event, make_event(model="nobody-knows"), make_event(status="error", usage=Usage())])
        plain, unknown, failed = ask(queries.page, ALL, SEEDED).rows[::-1]
        same = {*RequestEvent.__struct_fields__} & {f.name for f in fields(type(plain))} - {"id"}
        assert {name: getattr(plain, name) for name in same} == {name: getattr(event, name) for name in same}
        assert plain.billed_tier == "priority"
        assert plain.cost_usd == price_request(
            SEEDED, event.model, event.usage, event.requested_at, "priority"
        )
        assert (unknown.cost_usd, unknown.unpriced) == (None, "unknown_pricing")
        assert (failed.cost_usd, failed.unpriced) == (None, None)

    def test_new_arrivals_come_in_the_order_they_were_stored(
        self, ledger: Engine, ask: Callable[..., Any], make_event: EventFactory
    ) -> None:
        refill(ledger, [make_event()])
        seen = ask(queries.last_id)
        late = make_event(requested_at=DAY - timedelta(days=1), session_id="late")
        with ledger.begin() as connection:
            record(connection, [late, make_event(session_id="new")])
        assert [r.session_id for r in ask(queries.arrived, ALL, SEEDED, after_id=seen)] == ["late", "new"]

    def test_an_export_has_every_row(
        self,
        ledger: Engine,
        ask: Callable[..., Any],
        make_event: EventFactory,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("ledger.requests.rows.EXPORT_STEP", 7)
        refill(ledger, [make_event(requested_at=DAY + timedelta(seconds=n % 3)) for n in range(30)])
        rows = ask(lambda c: list(queries.all_rows(c, ALL, SEEDED)))
        assert len({row.id for row in rows}) == len(rows) == 30

    def test_one_request_with_its_attempts(
        self, ledger: Engine, ask: Callable[..., Any], make_event: EventFactory
    ) -> None:
        first = make_event(request_id="r-1", status="error", account_id="one")
        second = structs.replace(
            first, id="second", status="success", account_id="two", requested_at=DAY + timedelta(1)
        )
        later = structs.replace(second, requested_at=first.requested_at + timedelta(seconds=2))
        refill(ledger, [later, first, make_event()])
        (row,) = ask(queries.page, RequestFilter(account_id=("two",)), SEEDED).rows
        detail = ask(queries.request, row.id, SEEDED)
        assert detail.row == row
        assert [attempt.account_id for attempt in detail.attempts] == ["one", "two"]
        assert ask(queries.request, 10**9, SEEDED) is None

    @pytest.mark.parametrize("text", ["", "x", "1", "1-", "-1-2", "1-2-3", "9" * 60, "9" * 30 + "-1"])
    def test_a_cursor_that_is_none_is_refused(self, ask: Callable[..., Any], text: str) -> None:
        with pytest.raises(FilterError, match="cursor"):
            ask(queries.page, ALL, SEEDED, older_than=Cursor.parse(text))

    @pytest.mark.parametrize("size", [0, 1_001])
    def test_a_page_has_a_size(self, ask: Callable[..., Any], size: int) -> None:
        with pytest.raises(FilterError, match="allowed: 1 to 1000"):
            ask(queries.page, ALL, SEEDED, size=size)


class TestConcentrations:
    def test_the_failing_account_is_found_among_many(
        self, ledger: Engine, ask: Callable[..., Any], make_event: EventFactory
    ) -> None:
        well = [make_event(account_id=f"a{n % 5}", model=f"m{n % 3}", http_status=200) for n in range(60)]
        ill = [
            make_event(
                account_id="a3",
                model=f"m{n % 3}",
                status="error",
                http_status=401,
                error_code="invalid_token",
            )
            for n in range(12)
        ]
        strays = [make_event(account_id=f"a{n}", status="error", http_status=500 + n) for n in range(3)]
        refill(ledger, [*well, *ill, *strays])
        found = ask(queries.concentrations, ALL)
        assert len(found) == 3
        account = next(one for one in found if one.dimension == "account_id")
        assert (account.value, account.errors, account.requests) == ("a3", 12, 24)
        assert account.share_of_errors == 0.8
        narrowed = ALL.having("status", "error").having("account_id", account.value)
        assert ask(queries.totals, narrowed, SEEDED).requests == 12

    def test_few_failures_concentrate_on_nothing(
        self, ledger: Engine, ask: Callable[..., Any], make_event: EventFactory
    ) -> None:
        refill(ledger, [make_event(), make_event(account_id="x", status="error")])
        assert ask(queries.concentrations, ALL) == ()


class TestBilledInSql:
    @SEVERAL
    @given(
        usages=st.lists(st.builds(Usage, *[st.one_of(st.none(), st.integers(-5, 300_000))] * 10), max_size=5)
    )
    def test_it_is_what_python_says(
        self, ledger: Engine, ask: Callable[..., Any], make_event: EventFactory, usages: list[Usage]
    ) -> None:
        units = {"web_search": Decimal(3), "audio_seconds": Decimal("1.5"), "characters": Decimal(-1)}
        events = [make_event(usage=u, extra_units=units if n % 2 else None) for n, u in enumerate(usages)]
        refill(ledger, events)
        found: dict[int, Counts] = {}
        for group in ask(lambda c: list(priced_rows(c, ALL, (), ()))):
            found[group.context_above] = found.get(group.context_above, Counts()) + Counts(*group.counts)
        wanted: dict[int, Counts] = {}
        for event in events:
            above = context_step(event.usage.input_tokens)
            metered = is_metered(event.usage, event.extra_units)
            counts = counts_of(event.usage, event.extra_units) if metered else Counts()
            wanted[above] = wanted.get(above, Counts()) + counts
        assert found == wanted


class TestHistogram:
    @given(st.lists(st.floats(0, 4_000_000), min_size=1), st.floats(0.01, 1))
    def test_a_percentile_is_within_its_bucket(self, durations: list[float], q: float) -> None:
        ordered = sorted(durations)
        exact = ordered[max(0, -(-int(q * len(ordered) * 1_000_000) // 1_000_000) - 1)]
        found = histogram_of(durations).quantile(q)
        assert found is not None
        index = bucket(exact)
        low = BOUNDS[index - 1] if index else 0
        high = BOUNDS[min(index, len(BOUNDS) - 1)]
        assert low <= found <= high * 1.19 or bucket(found) <= index + 1

    def test_merged_is_as_counted_together(self) -> None:
        assert histogram_of([1, 50]) + histogram_of([50, 900]) == histogram_of([900, 50, 50, 1])
        assert Histogram().quantile(0.5) is None


SLOW = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000000) SELECT max(i) FROM n"
)


class TestLimits:
    def test_a_question_that_takes_too_long_is_ended(self, readers: Engine) -> None:
        began = time.monotonic()
        with pytest.raises(TooSlow, match=r"longer than 0\.2 s"):
            with asking(readers, Limit(0.2)) as connection:
                connection.execute(text(SLOW))
        assert time.monotonic() - began < 15

    def test_a_question_can_be_cancelled_from_another_thread(self, readers: Engine) -> None:
        limit = Limit(60)
        threading.Timer(0.2, limit.cancel).start()
        with pytest.raises(TooSlow, match="cancelled"):
            with asking(readers, limit) as connection:
                connection.execute(text(SLOW))
        with pytest.raises(TooSlow, match="cancelled"):
            with asking(readers, limit) as connection:
                connection.execute(text("SELECT 1"))


class TestFromSums:
    @SEVERAL
    @given(data=st.data())
    @pytest.mark.slow
    def test_sums_by_hour_and_rows_say_the_same(
        self,
        ledger: Engine,
        ask: Callable[..., Any],
        events: st.SearchStrategy[RequestEvent],
        data: st.DataObject,
    ) -> None:
        """Every question with a condition that only rows can answer, and without."""
        stored = data.draw(st.lists(events, max_size=12))
        refill(ledger, stored)
        minutes = st.integers(-2_000, 4_000)
        since, until = sorted(DAY + timedelta(minutes=data.draw(minutes)) for _ in range(2))
        where = RequestFilter(since, until, account_id=data.draw(st.sampled_from([(), ("one",)])))
        by_rows = replace(where, min_latency_ms=0.0)
        for question in (queries.totals, lambda c, w, b: queries.by(c, w, "model", b, durations=True)):
            assert ask(question, where, SEEDED) == ask(question, by_rows, SEEDED)

    def test_whole_hours_are_read_from_sums_alone(
        self, ledger: Engine, ask: Callable[..., Any], make_event: EventFactory
    ) -> None:
        refill(ledger, [make_event(requested_at=DAY + timedelta(hours=h)) for h in range(3)])
        with ledger.begin() as connection:
            connection.execute(delete(request_rows))
        where = RequestFilter(DAY, DAY + timedelta(hours=2))
        assert ask(queries.totals, where, SEEDED).requests == 2
        assert ask(queries.totals, ALL, SEEDED).requests == 3

    def test_rows_at_both_ends_are_read_once_for_all_questions(
        self, ledger: Engine, readers: Engine, ask: Callable[..., Any], make_event: EventFactory
    ) -> None:
        since, until = DAY + timedelta(minutes=58), DAY + timedelta(hours=3, minutes=2)
        times = [since + timedelta(seconds=20 * n) for n in (0, 3, 6, 60, 180, 360, 366, 371, 372)]
        made = [make_event(requested_at=at, account_id=f"a{n % 2}") for n, at in enumerate(times)]
        refill(ledger, made)
        read = list[str]()
        sqlalchemy_event.listen(readers, "before_cursor_execute", lambda *of: read.append(of[2]))

        def answers() -> dict[str, Totals]:
            where = RequestFilter(since, until)
            found = {"": ask(queries.totals, where, SEEDED)}
            for dimension in ("account_id", "api_key_id", "model"):
                for group in ask(queries.by, where, dimension, SEEDED, durations=True).groups:
                    found[group.value] = group.totals
            return found

        def of_rows() -> int:
            return sum("FROM request_rows" in one and "input_tokens" in one for one in read)

        first = answers()
        assert (first[""], first["gpt-5.6-sol"]) == (expected(made[:-1]), expected(made[:-1]))
        assert (first["a0"], first["a1"]) == (expected(made[:-1:2]), expected(made[1::2]))
        assert answers() == first
        assert of_rows() == 2
        late = make_event(requested_at=since, account_id="late", model="another", latency_ms=7.0)
        with ledger.begin() as connection:
            record(connection, [late])
        assert answers() == {
            **first,
            "": expected([*made[:-1], late]),
            "late": expected([late]),
            "another": expected([late]),
            "sk-a...wxyz": expected([*made[:-1], late]),
        }
