"""Days as arrays, and the file that keeps them: whatever happened to the ledger, answers are its own."""

from __future__ import annotations

import logging
import shutil
import stat
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import Engine, select

from ledger.pricing.files import book
from ledger.pricing.prices import PriceBook, flat
from ledger.reader import day_file
from ledger.reader.day_file import file_of, packed, unpacked
from ledger.requests import queries
from ledger.requests.answers import Breakdown
from ledger.requests.days.arrays import Day
from ledger.requests.days.kept_days import What
from ledger.requests.days.reading import read_day
from ledger.requests.filter import RequestFilter
from ledger.requests.limits import asking
from ledger.requests.totals import row_ids
from ledger.requests.totals.plan import DAY as SLOTS
from ledger.requests.totals.remembered import keep_days
from ledger.requests.writes import record
from ledger.schema import request_rows
from ledger.store import migrate, reader, sqlite_url, writer
from ledger.upkeep import ahead, retention
from ledger.upkeep.retention import Keep, prune
from ledger.values import RequestEvent, Usage
from tests.ledger.requests.test_request_queries import DAY, SEEDED, expected, refill
from tests.support.corrections import remove, replace_event
from tests.support.examples import examples
from tests.support.ledgers import place_migrated

EventFactory = Callable[..., RequestEvent]
SEVERAL = examples(25)
WEEK = RequestFilter(DAY - timedelta(days=3), DAY + timedelta(days=6))
LATER = DAY + timedelta(days=9)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A migrated ledger."""
    place_migrated(tmp_path / "usage.db")
    return tmp_path / "usage.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Engine]:
    engine = writer(sqlite_url(path))
    migrate(engine)
    yield engine
    engine.dispose()


def answer(
    path: Path, where: RequestFilter = WEEK, prices: PriceBook = SEEDED, *, writes: bool = True
) -> Breakdown:
    """Of a process that has just started: by account, with durations."""
    engine = reader(sqlite_url(path))
    keep_days(engine, lambda: file_of(sqlite_url(path), writes))
    try:
        with asking(engine) as connection:
            return queries.by(connection, where, "account_id", prices, durations=True)
    finally:
        engine.dispose()


def kept(path: Path) -> int:
    """How many files there are."""
    return len(list(Path(f"{path}.sums").iterdir()))


def is_right(found: Breakdown, events: list[RequestEvent], prices: PriceBook = SEEDED) -> None:
    """Each account's totals are those of its requests, one by one."""
    by_account = {group.value: group.totals for group in found.groups}
    assert set(by_account) == {event.account_id for event in events}
    for account, totals in by_account.items():
        assert totals == expected([event for event in events if event.account_id == account], prices)


@SEVERAL
@given(data=st.data())
@pytest.mark.slow
def test_a_new_process_answers_what_the_ledger_says_now(
    ledger: Engine,
    path: Path,
    events: st.SearchStrategy[RequestEvent],
    make_event: EventFactory,
    data: st.DataObject,
) -> None:
    newest = make_event(requested_at=LATER, account_id="newest")  # so that the days before are over
    stored = [*data.draw(st.lists(events, min_size=1, max_size=10)), newest]
    refill(ledger, stored)
    shutil.rmtree(f"{path}.sums", ignore_errors=True)
    within = {event.id: event for event in stored if event is not newest}
    is_right(answer(path), list(within.values()))
    assert kept(path)
    is_right(answer(path, writes=False), list(within.values()))
    for _ in range(data.draw(st.integers(1, 3))):
        with ledger.begin() as connection:
            change = data.draw(st.sampled_from(["late", "corrected", "removed"]))
            changed = data.draw(events)
            if change != "late" and within:
                changed = replace(changed, id=data.draw(st.sampled_from(sorted(within))))
            within[changed.id] = changed
            if change == "removed":
                del within[changed.id]
                row = connection.execute(
                    select(request_rows.c.id).where(request_rows.c.event_id == changed.id)
                )
                remove(connection, list(row.scalars()))
            elif change == "corrected":
                replace_event(connection, changed)
            else:
                record(connection, [changed])
        is_right(answer(path), list(within.values()))


def test_prices_are_those_in_force_and_not_those_of_the_file(
    ledger: Engine, path: Path, make_event: EventFactory
) -> None:
    stored = [make_event(requested_at=DAY + timedelta(hours=h), model="mine") for h in range(6)]
    refill(ledger, [*stored, make_event(requested_at=LATER)])
    assert answer(path).groups[0].totals.unpriced == 6
    for rate in (Decimal(3), Decimal("0.0000001")):  # the second has fractions of 10^-12 US dollars
        prices = book([*SEEDED.prices, flat("mine", DAY - timedelta(days=1), rate, rate)])
        assert answer(path, prices=prices).groups[0].totals.usd == 6 * 1_400 * rate / 1_000_000


def test_costs_beyond_the_machines_numbers_are_exact(
    ledger: Engine, path: Path, make_event: EventFactory
) -> None:
    events = [
        make_event(requested_at=DAY + timedelta(hours=h), model="dear", usage=Usage(10**12, 10**12, 0, 0))
        for h in range(5)
    ]
    refill(ledger, [*events, make_event(requested_at=LATER)])
    prices = book([flat("dear", DAY - timedelta(days=1), Decimal(700_000), Decimal("900000.000001"))])
    assert answer(path, prices=prices).groups[0].totals.usd == 5 * (
        700_000 * 10**6 + Decimal("900000.000001") * 10**6
    )


def test_units_beside_tokens_are_counted_and_priced(
    ledger: Engine, path: Path, make_event: EventFactory
) -> None:
    events = [
        make_event(requested_at=DAY + timedelta(hours=h), extra_units={"web_search": Decimal(2)}, model=model)
        for h, model in enumerate(["gpt-5.6-sol", "gpt-5.5", "gpt-5.6-sol"])
    ]
    refill(ledger, [*events, make_event(requested_at=LATER)])
    is_right(answer(path), events)
    assert answer(path).groups[0].totals.counts.web_searches == 6


def test_durations_of_callers_go_with_the_rows(
    ledger: Engine, path: Path, make_event: EventFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SETTLE_SECONDS", 0.0)
    events = [make_event(requested_at=DAY + timedelta(hours=h)) for h in range(5)]
    refill(ledger, [*events, make_event(requested_at=LATER)])
    assert answer(path).groups[0].totals.latency.count == 5
    assert prune(ledger, Keep(requests=1), LATER).requests == 5
    totals = answer(path).groups[0].totals
    assert (totals.requests, totals.latency.count) == (5, 0)


def test_two_pages_may_start_at_once(ledger: Engine, path: Path, make_event: EventFactory) -> None:
    events = [make_event(requested_at=DAY + timedelta(hours=9 * h)) for h in range(20)]
    refill(ledger, [*events, make_event(requested_at=LATER)])
    found: list[Breakdown] = []
    threads = [
        Thread(target=lambda: found.append(answer(path, RequestFilter(None, LATER)))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for one in found:
        is_right(one, events)


@pytest.mark.parametrize("damage", ["no folder", "another form", "cut", "empty", "a byte"])
def test_damaged_files_cost_time_alone(
    ledger: Engine, path: Path, make_event: EventFactory, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    events = [make_event(requested_at=DAY + timedelta(hours=h)) for h in range(30)]
    refill(ledger, [*events, make_event(requested_at=LATER)])
    is_right(answer(path), events)
    folder, before = Path(f"{path}.sums"), kept(path)
    for file in folder.iterdir():
        content = file.read_bytes()
        damaged = {
            "another form": b"nothing of the kind" * 500,
            "cut": content[: len(content) // 2],
            "empty": b"",
            "a byte": content[:20] + b"x" + content[21:],
        }
        file.write_bytes(damaged.get(damage, b""))
    if damage == "no folder":
        shutil.rmtree(folder)
        folder.write_bytes(b"as it was at first")
    with caplog.at_level(logging.WARNING):
        is_right(answer(path), events)
        is_right(answer(path), events)
    assert kept(path) == before
    assert not caplog.records


def test_the_oldest_days_go_where_they_take_too_much(
    ledger: Engine, path: Path, make_event: EventFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [make_event(requested_at=DAY + timedelta(days=d)) for d in range(6)]
    refill(ledger, [*events, make_event(requested_at=LATER)])
    is_right(answer(path), events)
    names = sorted(file.name for file in Path(f"{path}.sums").iterdir())
    monkeypatch.setattr(day_file, "MIN_BYTES", 1_000)
    monkeypatch.setattr(day_file, "MAX_SHARE", 0.0)
    shutil.rmtree(f"{path}.sums")
    is_right(answer(path), events)
    left = sorted(file.name for file in Path(f"{path}.sums").iterdir())
    assert left and len(left) < len(names)
    assert left == sorted(sorted(names, key=day_file._worth)[-len(left) :])


def test_where_rows_have_no_room_sums_are_read_ahead(
    ledger: Engine, path: Path, make_event: EventFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_ids, "DAYS_WITH_ROWS", 0)
    refill(
        ledger,
        [make_event(requested_at=DAY + timedelta(days=d, hours=h)) for d in range(9) for h in range(9)],
    )

    def read_all() -> dict[str, int]:
        shutil.rmtree(f"{path}.sums", ignore_errors=True)
        assert ahead.read_days(path) == 8
        return {file.name: file.stat().st_size for file in Path(f"{path}.sums").iterdir()}

    sizes = read_all()
    with_rows = sorted((name for name in sizes if "-rows-" in name or "-texts-" in name), reverse=True)
    assert len(with_rows) == 2 * 8
    room = sum(sizes.values()) - sum(sizes[name] for name in with_rows[6:])
    monkeypatch.setattr(day_file, "MIN_BYTES", room)
    monkeypatch.setattr(day_file, "MAX_SHARE", 0.0)
    left = read_all()
    assert {name for name in sizes if name.endswith(("-sums-day", "-durations-day"))} <= left.keys()
    assert with_rows[0] in left and with_rows[-1] not in left
    assert sum(left.values()) <= room


def test_where_nothing_can_be_written_it_is_said_once(
    ledger: Engine, path: Path, make_event: EventFactory, caplog: pytest.LogCaptureFixture
) -> None:
    events = [make_event(requested_at=DAY + timedelta(hours=9 * h)) for h in range(9)]
    refill(ledger, [*events, make_event(requested_at=LATER)])
    Path(f"{path}.sums").symlink_to(path)  # neither a folder nor what is taken for the file of before
    with caplog.at_level(logging.WARNING):
        is_right(answer(path), events)
    assert [record.message.split(":")[0] for record in caplog.records] == [
        f"sums are not kept in {path}.sums"
    ]


def test_the_file_of_a_ledger_that_was_replaced_is_not_believed(
    ledger: Engine, path: Path, make_event: EventFactory, tmp_path: Path
) -> None:
    events = [make_event(requested_at=DAY + timedelta(hours=h)) for h in range(5)]
    refill(ledger, [*events, make_event(requested_at=LATER)])
    answer(path)
    ledger.dispose()
    other = tmp_path / "other.db"
    shutil.copy(path, other)
    engine = writer(sqlite_url(other))
    with engine.begin() as connection:  # behind the back of all stamps
        connection.exec_driver_sql(
            "UPDATE request_hourly SET requests = requests + 10, metered = metered + 10"
        )
    engine.dispose()
    for ending in ("-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)
    other.replace(path)
    assert answer(path).groups[0].totals.requests == 55


def test_it_is_for_its_owner_alone_and_only_the_page_makes_it(
    ledger: Engine, path: Path, make_event: EventFactory
) -> None:
    refill(ledger, [make_event(requested_at=DAY), make_event(requested_at=LATER)])
    answer(path, writes=False)
    assert not Path(f"{path}.sums").exists()
    answer(path)
    folder = Path(f"{path}.sums")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_a_day_is_the_same_after_it_was_a_file(
    ledger: Engine, path: Path, make_event: EventFactory, tmp_path: Path
) -> None:
    hours = range(5)
    events = [make_event(requested_at=DAY + timedelta(hours=h), latency_first_token_ms=h) for h in hours]
    refill(ledger, events)
    day = (DAY - datetime(1970, 1, 1, tzinfo=DAY.tzinfo)).days
    kinds: tuple[What, ...] = get_args(What)
    with ledger.connect() as connection:
        for what in kinds:
            before: Day = read_day(connection, what, (day * SLOTS, (day + 1) * SLOTS))
            (tmp_path / what).write_bytes(packed(before, [1, "two"]))
            after = unpacked(tmp_path / what, [1, "two"])
            assert len(after) == len(before) > 0
            assert list(after.columns) == list(before.columns)
            for name, some in before.columns.items():
                assert np.array_equal(after.columns[name], some)
            with pytest.raises(ValueError, match="another"):
                unpacked(tmp_path / what, [2, "two"])
