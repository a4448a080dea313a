from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import Connection

from exporter import freshness
from exporter.collect import Collector, Outcome, health, run
from exporter.metrics import COLLECTOR_DURATION, COLLECTOR_SUCCESS, NEWEST_REQUEST
from exporter.samples import Samples
from exporter.scrape import reading
from ledger.errors import StoreError
from ledger.store import reader, sqlite_url

NOW = datetime(2026, 9, 30, tzinfo=UTC)


@pytest.fixture
def connect(usage_db: Path) -> Callable[[], AbstractContextManager[Connection]]:
    url = sqlite_url(usage_db)
    engine = reader(url)
    return lambda: reading(engine, url)


def clock() -> Callable[[], float]:
    """A clock on which every look takes a quarter of a second."""
    return partial(next, count(0, 0.25))


def failing(error: Exception) -> Collector:
    def read(connection: Connection, now: datetime) -> tuple[Samples, ...]:
        raise error

    return Collector("broken", read)


def test_a_collector_that_reads_its_data_has_samples_and_a_duration(
    connect: Callable[[], AbstractContextManager[Connection]],
) -> None:
    outcome = run(Collector("freshness", freshness.collect), connect, NOW, clock())
    assert (outcome.collector, outcome.error, outcome.seconds) == ("freshness", None, 0.25)
    assert [sample.family for sample in outcome.samples] == [NEWEST_REQUEST]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (StoreError("cannot read usage.db: database is locked"), "cannot read usage.db: database is locked"),
        (ValueError("not a\n  time"), "ValueError: not a time"),
        (RecursionError(), "RecursionError: "),
    ],
)
def test_whatever_goes_wrong_is_told_in_one_line(
    connect: Callable[[], AbstractContextManager[Connection]], error: Exception, line: str
) -> None:
    assert run(failing(error), connect, NOW, clock()) == Outcome("broken", 0.25, (), line)


def test_a_time_that_nobody_can_read_fails_its_collector_alone(
    connect: Callable[[], AbstractContextManager[Connection]], usage_db: Path, write: Callable[..., None]
) -> None:
    write(usage_db, lambda c: c.exec_driver_sql("UPDATE request_logs SET requested_at = 'yesterday'"))
    outcome = run(Collector("freshness", freshness.collect), connect, NOW)
    assert outcome.samples == ()
    assert outcome.error is not None
    assert "yesterday" in outcome.error


def test_success_and_duration_of_every_collector() -> None:
    success, duration = health([Outcome("accounts", 0.5), Outcome("spend", 1.5, error="no such table")])
    assert (success.family, duration.family) == (COLLECTOR_SUCCESS, COLLECTOR_DURATION)
    assert success.values == {("accounts",): 1.0, ("spend",): 0.0}
    assert duration.values == {("accounts",): 0.5, ("spend",): 1.5}
