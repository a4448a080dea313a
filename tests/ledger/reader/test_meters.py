"""An account's windows: what stands in their way, and whether a restart changes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger.quota.estimate import QuotaRules
from ledger.reader.foreign import micros
from ledger.reader.meters import Meters, Shown
from ledger.reader.readonly import Reader
from ledger.store import sqlite_url

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
RESET = int((NOW + timedelta(days=4)).timestamp())
TABLE = """
CREATE TABLE usage_history (id INTEGER PRIMARY KEY, account_id TEXT, recorded_at DATETIME, "window" TEXT,
    used_percent FLOAT, reset_at INTEGER, window_minutes INTEGER)
"""
MINUTES = {"primary": 300, "secondary": 10_080}
INSERT = (
    'INSERT INTO usage_history (account_id, recorded_at, "window", used_percent, reset_at, window_minutes)'
)


class Store:
    """A store whose meters are followed; `fresh` reads them as an exporter does that has just started."""

    def __init__(self, path: Path) -> None:
        self.owner = sqlite3.connect(path, isolation_level=None)
        self.owner.execute(TABLE)
        self._reader = Reader(sqlite_url(path))
        self._running = Meters(QuotaRules())

    def tell(self, used: Any, ago: timedelta = timedelta(0), **more: Any) -> None:
        plain = {"account": "a", "window": "secondary", "reset_at": RESET}
        row = {**plain, "minutes": MINUTES.get(more.get("window", "secondary"), 10_080), **more}
        at = (NOW - ago).replace(tzinfo=None).isoformat(" ")
        values = (row["account"], at, row["window"], used, row["reset_at"], row["minutes"])
        self.owner.execute(f"{INSERT} VALUES (?, ?, ?, ?, ?, ?)", values)

    def followed(self, now: datetime = NOW) -> Meters:
        self._refresh(self._running, now)
        return self._running

    def shown(self, now: datetime = NOW) -> Shown:
        """As followed; a fresh exporter says the same."""
        fresh = Meters(QuotaRules())
        self._refresh(fresh, now)
        found = self.followed(now).shown("a", micros(now))
        assert fresh.shown("a", micros(now)) == found
        return found

    def audit(self) -> None:
        with self._reader.reading() as connection:
            for _ in self._running.audit(connection, micros(NOW)):
                pass

    def _refresh(self, meters: Meters, now: datetime) -> None:
        with self._reader.reading() as connection:
            meters.refresh(connection, ["a", "b"], micros(now))


@pytest.fixture(
    params=[
        "CREATE INDEX i ON usage_history (account_id, recorded_at)",
        'CREATE INDEX i ON usage_history (account_id, "window", recorded_at)',
    ],
    ids=["by account", "by window"],
)
def store(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    made = Store(tmp_path / "store.db")
    with closing(made.owner):
        made.owner.execute(request.param)
        yield made


def percents(shown: Shown) -> tuple[float | None, float | None]:
    return (
        shown.primary.used_percent if shown.primary else None,
        shown.secondary.used_percent if shown.secondary else None,
    )


def test_a_window_with_many_readings_of_another_after_it_is_found_again(store: Store) -> None:
    store.followed()
    store.tell(40, timedelta(minutes=50), window="primary")
    for minutes in range(25):
        store.tell(10, timedelta(minutes=minutes))
    assert percents(store.shown()) == (40, 10)


def test_nor_do_readings_that_nobody_understands_hide_it(store: Store) -> None:
    store.followed()
    store.tell(40, timedelta(minutes=50), window="primary")
    store.tell(10, timedelta(minutes=50))
    for bad in ("x", float("inf"), 1e9):
        store.tell(bad, timedelta(minutes=5))
        store.tell(bad, timedelta(minutes=5), window="primary")
    assert percents(store.shown()) == (40, 10)
    assert len(store.followed().unreadable) == 6


def test_a_window_that_was_last_told_a_week_before_the_others_is_gone(store: Store) -> None:
    store.followed()
    store.tell(40, timedelta(days=10), window="primary")
    for days in range(4):
        store.tell(10, timedelta(days=days))
    assert percents(store.shown()) == (None, 10)


def test_an_account_that_was_not_looked_at_for_weeks_keeps_its_last_words(store: Store) -> None:
    store.tell(40, timedelta(days=20), window="primary", reset_at=None)
    store.tell(10, timedelta(days=20), reset_at=None)
    assert percents(store.shown()) == (40, 10)


def test_a_week_that_moves_from_one_name_to_another_is_one_cycle_where_it_ends_at_the_same_time(
    store: Store,
) -> None:
    store.followed()
    store.tell(2, timedelta(hours=20))
    store.tell(30, timedelta(minutes=10))
    store.tell(95, timedelta(minutes=5), window="primary", minutes=10_080)
    shown = store.shown()
    assert percents(shown) == (None, 95)
    assert shown.cycle is not None
    assert (shown.cycle.first.used, shown.cycle.newest.used) == (2, 95)


def test_a_reading_of_the_future_counts_when_its_time_has_come(store: Store) -> None:
    store.followed()
    store.tell(60, timedelta(hours=1))
    store.tell(90, timedelta(days=-2))
    store.tell(5, timedelta(minutes=-4), window="primary")
    assert percents(store.shown()) == (5, 60)
    store.tell(61)
    assert percents(store.shown()) == (5, 61)
    assert percents(store.shown(NOW + timedelta(days=2))) == (5, 90)


@pytest.mark.slow
def test_a_limit_of_another_name_is_no_window_of_the_account(store: Store) -> None:
    store.followed()
    store.tell(10, timedelta(minutes=5))
    store.tell(30, timedelta(minutes=5), window="primary")
    store.tell(99, timedelta(minutes=1), window="some-model", minutes=300)
    store.tell(98, timedelta(minutes=1), window="some-other")
    assert percents(store.shown()) == (30, 10)
    every = {name: window.used_percent for name, window in store.shown().every.items()}
    assert every == {"5h": 30, "7d": 10, "some-model": 99, "some-other": 98}
    assert store.followed().unreadable == ()


def test_what_was_not_understood_is_told_and_over_when_it_is_gone(store: Store) -> None:
    store.tell(10, timedelta(minutes=5))
    store.tell(20, timedelta(minutes=4), account="b")
    store.followed()
    store.tell("x", timedelta(minutes=1))
    assert store.followed().unreadable == (3,)
    assert percents(store.shown()) == (None, 10)
    store.owner.execute("DELETE FROM usage_history WHERE id = 3")
    store.tell(11)
    store.audit()
    assert store.followed().unreadable == ()
    assert percents(store.shown()) == (None, 11)


@pytest.mark.parametrize("rows", [3, 300])
@pytest.mark.slow
def test_a_store_that_was_put_in_place_of_another_is_read_anew(store: Store, rows: int) -> None:
    for number in range(rows):
        store.tell(60, timedelta(minutes=rows - number))
    assert percents(store.shown()) == (None, 60)
    for more in (0, 50):  # fewer rows, then more of them
        store.owner.execute("DELETE FROM usage_history")
        for number in range(rows - 2 + more):
            store.tell(more + 1, timedelta(hours=9, minutes=rows - number))
        assert percents(store.shown()) == (None, more + 1)
    assert store.followed().resets("a") == 0


def test_an_earlier_state_of_the_same_store_is_read_anew(store: Store) -> None:
    """Most of what was read last is there still, so only the ids tell."""
    store.tell(70, timedelta(hours=9), account="b")
    row = store.owner.execute("SELECT * FROM usage_history").fetchone()
    for number in range(300):
        store.tell(10, timedelta(minutes=300 - number))
    store.owner.execute("DELETE FROM usage_history WHERE id = 1")
    assert percents(store.followed().shown("b", micros(NOW))) == (None, None)
    store.owner.execute("INSERT INTO usage_history VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    store.owner.execute("DELETE FROM usage_history WHERE id = 301")
    assert percents(store.followed().shown("b", micros(NOW))) == (None, 70)
