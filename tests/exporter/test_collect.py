from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import count

import pytest

from exporter.collect import Collector, Outcome, health, run
from ledger.errors import StoreError
from metrics.exporter import COLLECTOR_DURATION, COLLECTOR_SUCCESS, NEWEST_REQUEST
from metrics.exposition import Samples

NOW = datetime(2026, 9, 30, tzinfo=UTC)


def clock() -> Callable[[], float]:
    """A clock on which every look takes a quarter of a second."""
    return partial(next, count(0, 0.25))


def failing(error: Exception) -> Collector:
    def read(now: datetime) -> tuple[Samples, ...]:
        raise error

    return Collector("broken", read)


def test_a_collector_that_reads_its_data_has_samples_and_a_duration() -> None:
    samples = Samples(NEWEST_REQUEST, {(): NOW.timestamp()})
    outcome = run(Collector("freshness", lambda now: (samples,)), NOW, clock())
    assert outcome == Outcome("freshness", 0.25, (samples,))


def test_a_collector_learns_the_time_of_the_scrape() -> None:
    read = lambda now: (Samples(NEWEST_REQUEST, {(): now.timestamp()}),)  # noqa: E731
    (samples,) = run(Collector("any", read), NOW).samples
    assert samples.values == {(): NOW.timestamp()}


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (StoreError("cannot read usage.db: database is locked"), "cannot read usage.db: database is locked"),
        (ValueError("not a\n  time"), "ValueError: not a time"),
        (RecursionError(), "RecursionError: "),
    ],
)
def test_whatever_goes_wrong_is_told_in_one_line(error: Exception, line: str) -> None:
    assert run(failing(error), NOW, clock()) == Outcome("broken", 0.25, (), line)


def test_success_and_duration_of_every_collector() -> None:
    success, duration = health([Outcome("accounts", 0.5), Outcome("spend", 1.5, error="no such table")])
    assert (success.family, duration.family) == (COLLECTOR_SUCCESS, COLLECTOR_DURATION)
    assert success.values == {("accounts",): 1.0, ("spend",): 0.0}
    assert duration.values == {("accounts",): 0.5, ("spend",): 1.5}
