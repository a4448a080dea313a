"""What is forgotten stays in all totals, whatever goes on meanwhile."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL, Engine, delete, func, select

from ledger.columns import EPOCH, micros
from ledger.errors import StoreUnavailable
from ledger.pricing.files import current_book
from ledger.requests import queries
from ledger.requests.dictionaries import SESSIONS
from ledger.requests.filter import Dimension, RequestFilter
from ledger.requests.limits import Limit, asking
from ledger.requests.sums.horizons import HOURLY, REQUESTS, horizon, since
from ledger.requests.sums.rollups import HOUR
from ledger.requests.writes import record
from ledger.schema import (
    daily_stats,
    request_changes,
    request_durations,
    request_hourly,
    request_logs,
    request_rows,
    request_sessions,
    usage_history,
    versions,
)
from ledger.store import migrate, reader, sqlite_url, upsert, writer
from ledger.upkeep import leftovers, retention
from ledger.upkeep.checking import check
from ledger.upkeep.retention import Keep, Pruned, Upkeep, prune
from ledger.upkeep.space import give_back
from ledger.values import RequestEvent
from tests.ledger.conftest import NOON
from tests.support.corrections import remove
from tests.support.examples import examples
from tests.support.ledgers import migrated

ROOT = Path(__file__).parents[3]
BOOK = current_book({})
GONE = 2_232
"""Of 4,000 requests, one every ten minutes: those of fifteen days and a half."""

DIMENSIONS: tuple[Dimension, ...] = (
    "provider",
    "model",
    "account_id",
    "api_key_id",
    "project",
    "status",
    "error_code",
)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SETTLE_SECONDS", 0.0)


def number(ledger: Engine, table: Any = request_rows) -> int:
    with ledger.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def answers(ledger: Engine, bounds: list[datetime]) -> list[Any]:
    """Every kind of total, over all time, over days, and over hours that lie across."""
    engine = reader(ledger.url)
    try:
        with asking(engine, Limit(120)) as connection:
            found: list[Any] = [queries.totals(connection, RequestFilter(), BOOK, durations=True)]
            for dimension in DIMENSIONS:
                found.append(queries.by(connection, RequestFilter(), dimension, BOOK))
            found.append(queries.series(connection, RequestFilter(), bounds, BOOK, dimension="model"))
            found.append(queries.totals(connection, RequestFilter(since=bounds[1], until=bounds[-1]), BOOK))
            found.append(queries.totals(connection, RequestFilter(until=bounds[2], status=("error",)), BOOK))
            days = [
                connection.execute(select(daily_stats)).all(),
                queries.day_sums(connection, "2026", "2027"),
            ]
            return [*found, sorted(map(tuple, days[0])), days[1]]
    finally:
        engine.dispose()


@given(data=st.data())
@examples(6)
@pytest.mark.slow
def test_totals_before_and_after_are_equal(
    ledger: Engine, data: st.DataObject, events: st.SearchStrategy[RequestEvent]
) -> None:
    _empty(ledger)  # an example may end wherever it draws
    with ledger.begin() as connection:
        made = data.draw(st.lists(events, max_size=30, unique_by=lambda event: event.id))
        record(connection, made)
    days = [NOON.replace(hour=0) + timedelta(days=n) for n in range(-3, 4)]
    hours = sorted({NOON.replace(hour=h) + timedelta(days=d) for h in (5, 19) for d in (-1, 0, 1)})
    before = [answers(ledger, bounds) for bounds in (days, hours)]
    now = data.draw(st.sampled_from([NOON + timedelta(days=n) for n in range(-1, 5)]))
    prune(ledger, Keep(requests=1), now)
    midnight = now.replace(hour=0) - timedelta(days=1)
    assert number(ledger) == sum(event.requested_at >= midnight for event in made)
    assert [answers(ledger, bounds) for bounds in (days, hours)] == before
    assert check(ledger, mend=False).sound
    with ledger.begin() as connection:
        late = data.draw(st.lists(events, max_size=5, unique_by=lambda event: event.id))
        late = [event for event in late if event.id not in {known.id for known in made}]
        record(connection, late)
    after = answers(ledger, days)
    assert after[0].requests == before[0][0].requests + len(late)
    prune(ledger, Keep(requests=1), now)
    assert answers(ledger, days) == after


def _empty(ledger: Engine) -> None:
    with ledger.begin() as connection:
        remove(connection, list(connection.execute(select(request_rows.c.id)).scalars()))
        for table in (request_hourly, request_durations, daily_stats, request_changes):
            connection.execute(table.delete())
        connection.execute(versions.delete().where(versions.c.name == REQUESTS))


def test_a_bound_within_an_hour_that_is_forgotten_counts_the_hour_once(
    ledger: Engine, make_event: Callable[..., RequestEvent]
) -> None:
    with ledger.begin() as connection:
        record(connection, [make_event(requested_at=NOON + timedelta(minutes=7 * n)) for n in range(100)])
    prune(ledger, Keep(requests=1), NOON + timedelta(days=9))
    assert number(ledger) == 0
    cut = NOON + timedelta(hours=3, minutes=33)
    engine = reader(ledger.url)
    with asking(engine, Limit(120)) as connection:
        first = queries.totals(connection, RequestFilter(until=cut), BOOK).requests
        rest = queries.totals(connection, RequestFilter(since=cut), BOOK).requests
        hourly = [NOON + timedelta(minutes=30 * n) for n in range(-100, 100)]  # more than are read singly
        (line,) = queries.series(connection, RequestFilter(), hourly, BOOK)
    engine.dispose()
    assert (first, rest) == (26, 74)
    assert sum(point.totals.requests for point in line.points) == 100


def test_many_broken_hours_on_both_sides_of_the_horizon(
    ledger: Engine, make_event: Callable[..., RequestEvent]
) -> None:
    with ledger.begin() as connection:
        made = [make_event(requested_at=NOON + timedelta(minutes=47 * n)) for n in range(300)]
        record(connection, made)
    prune(ledger, Keep(requests=2), NOON + timedelta(days=6))
    bounds = [NOON.replace(hour=0) + timedelta(minutes=77 * n) for n in range(250)]
    engine = reader(ledger.url)
    with asking(engine, Limit(120)) as connection:
        (line,) = queries.series(connection, RequestFilter(), bounds, BOOK)
        kept = since(connection, REQUESTS)
    engine.dispose()
    assert kept is not None
    assert sum(point.totals.requests for point in line.points) == 300
    for point in line.points:
        if point.since >= kept:
            inside = [event for event in made if point.since <= event.requested_at < point.until]
            assert point.totals.requests == len(inside)


def test_sums_by_hour_go_and_those_by_day_stay(
    ledger: Engine, make_event: Callable[..., RequestEvent]
) -> None:
    with ledger.begin() as connection:
        record(connection, [make_event(requested_at=NOON + timedelta(days=n)) for n in range(10)])
    days = number(ledger, daily_stats)
    found = prune(ledger, Keep(requests=2, hourly=4), NOON + timedelta(days=10))
    assert (found.requests, found.hours) == (8, 12)
    assert (number(ledger), number(ledger, request_hourly)) == (2, 4)
    assert number(ledger, daily_stats) == days
    with ledger.connect() as connection:
        assert horizon(connection, HOURLY) == micros(NOON.replace(hour=0) + timedelta(days=6)) // HOUR
    assert check(ledger, mend=True).sound
    assert number(ledger, daily_stats) == days


def test_a_longer_time_later_brings_nothing_back(ledger: Engine) -> None:
    prune(ledger, Keep(requests=20), NOON)
    prune(ledger, Keep(requests=90), NOON)
    with ledger.connect() as connection:
        assert since(connection, REQUESTS) == NOON.replace(hour=0) - timedelta(days=20)


@pytest.fixture
def grown(ledger: Engine, make_event: Callable[..., RequestEvent]) -> Engine:
    with ledger.begin() as connection:
        made = [
            make_event(
                requested_at=NOON - timedelta(days=30) + timedelta(minutes=10 * n), session_id=f"{n:0150}"
            )
            for n in range(4_000)
        ]
        record(connection, made)
    return ledger


@pytest.mark.slow
def test_space_is_given_back_and_writers_go_on(
    grown: Engine, make_event: Callable[..., RequestEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", dict.fromkeys(retention.ROWS_AT_ONCE, 200))
    engine, waits, stop = grown, list[float](), threading.Event()

    def write() -> None:
        while not stop.is_set():
            began = time.monotonic()
            with engine.begin() as connection:
                record(connection, [make_event(requested_at=NOON) for _ in range(5)])
            waits.append(time.monotonic() - began)
            time.sleep(0.005)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        found = prune(engine, Keep(requests=14), NOON)
    finally:
        stop.set()
        thread.join()
    assert found.requests == GONE
    assert len(waits) > 5
    assert sorted(waits)[len(waits) // 2] < 2  # none waits for all of it; how short it is, bench measures
    assert number(engine) == 4_000 - found.requests + 5 * len(waits)
    if engine.dialect.name == "sqlite":
        assert found.bytes > 200_000
    assert check(engine, mend=False).sound


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on(grown: Engine) -> None:
    before = answers(grown, [NOON + timedelta(days=n) for n in range(-40, 2)])
    script = (
        "import sys\nfrom datetime import datetime\nfrom sqlalchemy import make_url\n"
        "from ledger.store import writer\nfrom ledger.upkeep import retention\n"
        "retention.SETTLE_SECONDS, retention.REST_SHARE = 0, 3\n"
        "retention.ROWS_AT_ONCE = dict.fromkeys(retention.ROWS_AT_ONCE, 200)\n"
        "plain = retention._delete_rows\n"
        "def told(*given):\n    print('step', flush=True)\n    return plain(*given)\n"
        "retention._delete_rows = told\n"
        "engine, now = writer(make_url(sys.argv[1])), datetime.fromisoformat(sys.argv[2])\n"
        "retention.prune(engine, retention.Keep(14), now)"
    )
    url = grown.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", script, url, NOON.isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    left = number(grown)
    assert 4_000 - GONE < left < 4_000
    assert answers(grown, [NOON + timedelta(days=n) for n in range(-40, 2)]) == before
    assert prune(grown, Keep(requests=14), NOON).requests == left - (4_000 - GONE)
    assert answers(grown, [NOON + timedelta(days=n) for n in range(-40, 2)]) == before
    assert check(grown, mend=False).sound


@pytest.mark.slow
def test_of_two_processes_one_does_it_in_the_background(
    grown: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "FIRST_SECONDS", 0.0)
    both = [Upkeep(grown.url, Keep(requests=14)) for _ in range(2)]
    for one in both:
        one.start()
    deadline = time.monotonic() + 60
    while number(grown) == 4_000 and time.monotonic() < deadline:
        time.sleep(0.05)
    for one in both:
        one.close()
    assert number(grown) < 4_000  # they are of August
    with grown.begin() as connection:
        assert not retention._take_turn(connection)


def test_a_clock_that_was_set_back_does_not_end_it_for_years(ledger: Engine) -> None:
    """Whoever began while it was ahead has left a time that would be waited for."""
    ahead = micros(datetime.now(UTC) + timedelta(days=3_650))
    with ledger.begin() as connection:
        upsert(connection, versions, ["name"], [{"name": retention.TURN, "version": ahead}])
        assert retention._take_turn(connection)
        assert not retention._take_turn(connection)


def test_a_fault_does_not_end_it_either(
    grown: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retention, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(retention, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(retention, "prune", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(retention, "_take_turn", lambda _: True)
    upkeep = Upkeep(grown.url, Keep(requests=14))
    upkeep.start()
    deadline = time.monotonic() + 60
    while caplog.text.count("ZeroDivisionError") < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    upkeep.close()
    assert caplog.text.count("ZeroDivisionError") >= 2


def test_what_comes_after_a_clock_was_set_back_is_kept(
    ledger: Engine, make_event: Callable[..., RequestEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SETTLE_SECONDS", 0.0)
    with ledger.begin() as connection:
        record(connection, [make_event(requested_at=NOON)])
    assert prune(ledger, Keep(14, 30), NOON + timedelta(days=3_650)).requests == 1
    later = NOON + timedelta(days=1)
    prune(ledger, Keep(14, 30), later)
    with ledger.begin() as connection:
        record(connection, [make_event(requested_at=later + timedelta(hours=13))])
    assert prune(ledger, Keep(14, 30), later + timedelta(days=1)).requests == 0
    assert number(ledger) == 1
    assert check(ledger, mend=False).sound


def test_a_lock_of_others_is_an_error_in_one_line(
    ledger: Engine, make_event: Callable[..., RequestEvent]
) -> None:
    """Space is given back by the driver itself, whose errors are its own."""
    if ledger.dialect.name != "sqlite":
        return
    with ledger.begin() as connection:
        record(connection, [make_event(error_message="x" * 4_000) for _ in range(50)])
        connection.execute(delete(request_rows))
    engine = writer(ledger.url, busy_timeout_seconds=0.01)
    with closing(sqlite3.connect(str(ledger.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match=r"cannot give space back .*: database is locked"):
            give_back(engine)
    engine.dispose()
    assert give_back(ledger) > 0


def test_the_midnight_itself_is_kept_and_the_moment_before_it_is_not(
    ledger: Engine, make_event: Callable[..., RequestEvent]
) -> None:
    midnight = NOON.replace(hour=0)
    moments = [midnight - timedelta(microseconds=1), midnight, midnight + timedelta(microseconds=1)]
    with ledger.begin() as connection:
        record(connection, [make_event(requested_at=at) for at in moments])
    assert prune(ledger, Keep(14, 14), NOON + timedelta(days=14)) == Pruned(1, 2, ANY)
    with ledger.connect() as connection:
        assert connection.execute(select(func.min(request_rows.c.at))).scalar() == midnight
        assert connection.execute(select(func.sum(daily_stats.c.requests))).scalar() == 3
    assert number(ledger, request_hourly) == 1


def sessions_of(ledger: Engine, table: Any) -> list[str | None]:
    with ledger.connect() as connection:
        return sorted(connection.execute(select(table.c.session_id)).scalars())


def test_conversations_that_no_request_is_left_of_are_forgotten(
    ledger: Engine, make_event: Callable[..., RequestEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever still knows the number of one that goes on stores no request with a number that is gone."""
    monkeypatch.setattr(leftovers, "AT_ONCE", 2)

    def store(day: int, *talks: str) -> None:
        with ledger.begin() as connection:
            at = NOON + timedelta(days=day)
            record(connection, [make_event(requested_at=at, session_id=talk) for talk in talks])

    for _ in range(2):  # the second time they are known
        store(0, "over", "resumed", "goes on", "over, too", "and this")
    store(9, "goes on", "newest")
    other = writer(ledger.url)
    found = prune(other, Keep(requests=2), NOON + timedelta(days=9))
    assert (found.requests, found.sessions) == (10, 4)
    assert sessions_of(other, request_sessions) == ["goes on", "newest"]
    store(9, "resumed", "goes on")
    wanted = ["goes on", "goes on", "newest", "resumed"]
    assert sessions_of(other, request_logs) == wanted
    assert check(other, mend=False).sound
    assert prune(other, Keep(requests=2), NOON + timedelta(days=12)).sessions == 2
    store(12, "newest", "goes on")
    assert sessions_of(other, request_logs) == ["goes on", "newest"]
    other.dispose()


def test_a_conversation_that_goes_on_while_it_is_forgotten_gets_another_number(
    postgres_url: URL, make_event: Callable[..., RequestEvent]
) -> None:
    """Its number was looked up before, and the request is stored after it is gone."""
    engines = [writer(postgres_url) for _ in range(2)]
    migrate(engines[0])
    with engines[0].begin() as connection:
        record(connection, [make_event(session_id=talk) for talk in ("resumed", "newest")])
    with engines[0].begin() as connection:
        SESSIONS.numbers(connection, [("resumed",)])
        prune(engines[1], Keep(requests=2), NOON + timedelta(days=9))
        record(connection, [make_event(session_id="resumed", requested_at=NOON + timedelta(days=9))])
    assert sessions_of(engines[1], request_logs) == ["resumed"]
    for engine in engines:
        engine.dispose()


def test_old_samples_are_forgotten_but_for_the_last_of_each_window(
    ledger: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "AT_ONCE", 3)
    days, windows = (0, 1, 2, 70, 90), ("primary", "secondary")
    made: list[tuple[str, str | None, int]]
    made = [("busy", window, day) for day in days for window in windows]
    made += [("idle", window, day) for day in days[:3] for window in (*windows, None)]
    with ledger.begin() as connection:
        for account, window, day in sorted(made, key=lambda one: one[2]):
            at = NOON + timedelta(days=day)
            values = {"account_id": account, "recorded_at": at, "window": window, "used_percent": day}
            connection.execute(usage_history.insert().values(values))
    assert prune(ledger, Keep(), NOON + timedelta(days=91)).samples == 0
    assert prune(ledger, Keep(requests=14), NOON + timedelta(days=91)).samples == 12
    with ledger.connect() as connection:
        t = usage_history.c
        left = connection.execute(select(t.account_id, t.window, t.used_percent).order_by(t.id)).all()
    last = [("idle", window, 2.0) for window in (*windows, None)]
    assert [*map(tuple, left)] == last + [("busy", window, day) for day in (70.0, 90.0) for window in windows]
    assert prune(ledger, Keep(requests=14), NOON + timedelta(days=91)).samples == 0


@pytest.mark.slow
def test_days_that_are_over_are_read_for_whoever_asks_next(
    tmp_path: Path, make_event: Callable[..., RequestEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though nothing is ever forgotten here."""
    monkeypatch.setattr(retention, "FIRST_SECONDS", 0.0)
    file = tmp_path / "usage.db"
    engine = writer(sqlite_url(file))
    migrate(engine)
    with engine.begin() as connection:
        record(connection, [make_event(requested_at=NOON + timedelta(days=n)) for n in range(4)])
    engine.dispose()
    upkeep = Upkeep(sqlite_url(file), Keep())
    upkeep.start()
    deadline, first = time.monotonic() + 60, (NOON - EPOCH).days
    wanted = {
        f"{first + n:06d}-{name}" for n in range(3) for name in ("rows-slot", "sums-day", "callers-day")
    }
    while not wanted <= {path.name for path in tmp_path.glob("usage.db.sums/*")}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    upkeep.close()


def test_reading_days_ends_with_who_had_it_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "FIRST_SECONDS", 0.0)
    started: list[subprocess.Popen[bytes]] = []

    def popen(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        started.append(real(["/bin/sleep", "600"], **options))
        return started[0]

    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", popen)
    migrated(tmp_path / "usage.db").dispose()
    upkeep = Upkeep(sqlite_url(tmp_path / "usage.db"), Keep())
    upkeep.start()
    deadline = time.monotonic() + 60
    while not started and time.monotonic() < deadline:
        time.sleep(0.05)
    upkeep.close()
    assert started[0].returncode == -signal.SIGTERM


def test_what_keeps_all_starts_nothing(tmp_path: Path) -> None:
    idle = Upkeep(sqlite_url(tmp_path / "none.db"), Keep())
    idle.start()
    idle.close()
    assert not (tmp_path / "none.db").exists()
