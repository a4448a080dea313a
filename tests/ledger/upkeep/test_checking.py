"""`check` finds what does not fit, and puts sums right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select, text

from ledger.columns import micros
from ledger.requests.sums.rollups import HOUR
from ledger.requests.writes import record
from ledger.schema import daily_stats, request_durations, request_hourly, request_rows
from ledger.store import migrate, sqlite_url, writer
from ledger.upkeep import checking, retention, transactions
from ledger.upkeep.checking import check
from ledger.upkeep.retention import Keep, prune
from ledger.values import RequestEvent, Usage
from tests.ledger.conftest import NOON
from tests.support.corrections import hide, remove
from tests.support.examples import examples

SUMS = (request_hourly, request_durations, daily_stats)


def sums(ledger: Engine) -> list[list[tuple[object, ...]]]:
    with ledger.connect() as connection:
        found = [connection.execute(select(table)).all() for table in SUMS]
    return [sorted(map(tuple, rows), key=str) for rows in found]


@pytest.fixture
def filled(ledger: Engine, make_event: Callable[..., RequestEvent]) -> Engine:
    with ledger.begin() as connection:
        made = [
            make_event(
                requested_at=NOON + timedelta(hours=5 * n),
                model=f"model-{n % 3}",
                latency_first_token_ms=7.0 * n,
                status="error" if n % 5 == 0 else "success",
                usage=Usage(1_000 + n, 400, 200 + n, 50, 10, 5),
            )
            for n in range(30)
        ]
        record(connection, made)
        hide(connection, [3, 4], NOON)
    return ledger


def test_a_sound_ledger(filled: Engine) -> None:
    before = sums(filled)
    report = check(filled, mend=True)
    assert report.sound
    assert (report.requests, report.hours, report.days) == (30, [], [])
    assert sums(filled) == before


def test_what_is_forgotten_meanwhile_is_not_taken_out_of_the_sums(
    ledger: Engine, make_event: Callable[..., RequestEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention runs beside it: requests, and sums of hours, go after it has begun."""
    monkeypatch.setattr(retention, "SETTLE_SECONDS", 0.0)
    with ledger.begin() as connection:
        record(connection, [make_event(requested_at=NOON + timedelta(days=n)) for n in range(6)])
    before, kept = sums(ledger), [Keep(3, 4)]

    def progress(done: int, of: int) -> None:
        if kept:
            prune(ledger, kept.pop(), NOON + timedelta(days=6))

    report = check(ledger, mend=True, progress=progress)
    assert (report.hours, report.days) == ([], [])
    assert sums(ledger)[2] == before[2]
    assert len(sums(ledger)[0]) == 4


def test_units_with_a_half_at_their_end_are_rounded_alike_everywhere(
    ledger: Engine, make_event: Callable[..., RequestEvent]
) -> None:
    """Milliseconds of sound, and pages: in Python, and by the rows again in both databases."""
    given = ("0.0005", "1.0005", "8.4705", "2.0015", "2.5", "0.00049999", "86400.1235", "0.1", "9999999.0025")
    with ledger.begin() as connection:
        for number, seconds in enumerate(given):
            units = {"audio_seconds": Decimal(seconds), "pages": Decimal(seconds)}
            at, nothing = NOON + timedelta(hours=number), Usage()
            record(connection, [make_event(requested_at=at, usage=nothing, extra_units=units)])
    assert check(ledger, mend=False).hours == []


PLANTED = {
    "too many": "UPDATE request_hourly SET requests = requests + 1 WHERE hour % 2 = 0",
    "tokens": "UPDATE request_hourly SET cached_input_tokens = cached_input_tokens + 3",
    "lost hours": "DELETE FROM request_hourly WHERE hour % 3 = 0",
    "invented": "INSERT INTO request_durations VALUES (496400, 1, 0, 5, 9)",
    "durations": "UPDATE request_durations SET number = number + 2 WHERE bucket > 3",
    "days": "UPDATE daily_stats SET output_tokens = output_tokens - 1",
    "lost days": "DELETE FROM daily_stats WHERE day > '2026-08-22'",
    "a day too many": "UPDATE daily_stats SET model = 'other' WHERE model = 'model-1'",
}


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.slow
def test_what_was_planted_is_found_and_put_right(
    filled: Engine, planted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "KEYS_AT_ONCE", 1)
    before = sums(filled)
    with filled.begin() as connection:
        connection.execute(text(PLANTED[planted]))
    wrong = sums(filled)
    assert wrong != before
    found = check(filled, mend=False)
    assert not found.sound
    assert found.hours or found.days
    assert sums(filled) == wrong  # looking changes nothing
    assert check(filled, mend=True).sound
    assert sums(filled) == before
    assert not check(filled, mend=False).hours


@pytest.mark.parametrize("meanwhile", [1, checking.TRIES])
@pytest.mark.slow
def test_requests_that_come_while_an_hour_is_put_right_are_counted(
    filled: Engine,
    make_event: Callable[..., RequestEvent],
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: int,
) -> None:
    """They are not held up for it, unless they come each time that it is counted again."""
    change, left = "UPDATE request_hourly SET requests = requests + 7", [meanwhile]
    differ, found_before, writes = checking._hours_differ, list[bool](), list[bool]()

    def differ_while_one_comes(*asked: Any) -> Any:
        found = differ(*asked)
        if found_before and left[-1]:
            left[-1] -= 1
            with filled.begin() as connection:
                record(connection, [make_event(requested_at=NOON + timedelta(minutes=1), model="model-0")])
        found_before.extend([True] * bool(found))
        return found

    @contextmanager
    def writing(engine: Engine) -> Iterator[Connection]:
        writes.append(True)
        with held(engine) as connection:
            left.append(0)  # nobody else writes now
            yield connection
            left.pop()

    held = transactions.writing
    monkeypatch.setattr(checking, "WANTED_SECONDS", 0.0)
    monkeypatch.setattr(checking, "KEYS_AT_ONCE", 2)
    monkeypatch.setattr(checking, "_hours_differ", differ_while_one_comes)
    monkeypatch.setattr(checking, "writing", writing)
    with filled.begin() as connection:
        connection.execute(text(change + f" WHERE hour = {micros(NOON) // HOUR}"))
    assert check(filled, mend=True).hours == [micros(NOON) // HOUR]
    assert left[-1] == 0
    assert len(writes) == (2 if meanwhile == 1 else checking.TRIES + 1)
    monkeypatch.undo()
    assert check(filled, mend=False).sound


@pytest.mark.slow
def test_requests_that_come_between_two_readings_are_no_difference(
    filled: Engine, make_event: Callable[..., RequestEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each reading sees hours and their sums as they are at one moment, and covers a short time."""
    monkeypatch.setattr(checking, "WANTED_SECONDS", 0.0)
    steps = list[int]()

    def progress(done: int, of: int) -> None:
        steps.append(done)
        with filled.begin() as connection:
            at = NOON + timedelta(hours=done + (-1, 0, 1)[done % 3])
            record(connection, [make_event(requested_at=at)])

    report = check(filled, mend=False, progress=progress)
    assert report.sound
    assert steps == list(range(1, 29 * 5 + 2))


def test_a_check_ends_when_it_is_stopped(filled: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "WANTED_SECONDS", 0.0)
    steps = list[int]()
    check(filled, mend=False, progress=lambda done, of: steps.append(done), stopped=lambda: len(steps) == 3)
    assert steps == [1, 2, 3]


def test_requests_whose_texts_are_lost_are_told(filled: Engine) -> None:
    with filled.begin() as connection:
        connection.execute(text("DELETE FROM request_details"))
    report = check(filled, mend=True)
    assert report.lost == 30
    assert not report.sound


@given(data=st.data())
@examples(15)
@pytest.mark.slow
def test_counting_again_says_what_writing_counted(
    ledger: Engine, data: st.DataObject, events: st.SearchStrategy[RequestEvent]
) -> None:
    with ledger.begin() as connection:
        record(connection, data.draw(st.lists(events, max_size=25, unique_by=lambda event: event.id)))
    assert check(ledger, mend=False).sound
    with ledger.begin() as connection:
        remove(connection, list(connection.execute(select(request_rows.c.id)).scalars()))


@pytest.mark.parametrize("is_large", [False, True])
def test_a_damaged_file_is_told_and_nothing_is_put_right(
    tmp_path: Path,
    make_event: Callable[..., RequestEvent],
    monkeypatch: pytest.MonkeyPatch,
    is_large: bool,
) -> None:
    """A large one is looked through as a whole where that is asked for."""
    monkeypatch.setattr(checking, "MAX_FILE_BYTES", 0 if is_large else checking.MAX_FILE_BYTES)
    file = tmp_path / "usage.db"
    engine = writer(sqlite_url(file))
    migrate(engine)
    with engine.begin() as connection:
        record(connection, [make_event(session_id=str(n)) for n in range(400)])
        root = connection.execute(text("SELECT rootpage FROM sqlite_master WHERE name = 'idx_rows_trace'"))
        page = root.scalar_one()
    engine.dispose()
    with file.open("r+b") as opened:
        opened.seek((page - 1) * 4096)
        opened.write(b"\xff" * 4_096)
    engine = writer(sqlite_url(file))
    first, report = check(engine, mend=False), check(engine, mend=True, file=is_large or None)
    engine.dispose()
    assert first.file_checked is not is_large
    assert bool(first.problems) is not is_large
    assert report.problems
    assert not report.sound
