"""Running collectors: each by itself, with its own success and duration."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from ledger.errors import StoreError
from metrics.exporter import COLLECTOR_DURATION, COLLECTOR_SUCCESS
from metrics.exposition import Samples

T = TypeVar("T")


class Once(Generic[T]):
    """A call that is made once for each scrape: the collectors that come later get the same result, or the
    same error, so that a lock is not waited for by each in turn."""

    def __init__(self, call: Callable[[datetime], T]) -> None:
        self._call = call
        self._at: datetime | None = None
        self._outcome: T | Exception | None = None

    def at(self, now: datetime) -> T:
        """The result of the call for the scrape of that time. Raises what the call raises."""
        if self._at != now:
            self._at = now
            try:
                self._outcome = self._call(now)
            except Exception as error:
                self._outcome = error
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome  # type: ignore[return-value]  # T itself may be None


@dataclass(frozen=True, slots=True)
class Collector:
    """One subject: its value of the label `collector`, and how to read it.

    Attributes:
        read: called with the time of the scrape (aware UTC).
    """

    name: str
    read: Callable[[datetime], tuple[Samples, ...]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one collector fared.

    Attributes:
        seconds: how long it took, a failure too.
        samples: empty where it failed; nothing of an earlier scrape ever stands in.
        error: one line, None where it succeeded.
    """

    collector: str
    seconds: float
    samples: tuple[Samples, ...] = ()
    error: str | None = None


def run(collector: Collector, now: datetime, clock: Callable[[], float] = time.perf_counter) -> Outcome:
    """Run one collector. It never raises: what goes wrong in one subject must not cost the others."""
    start = clock()
    try:
        samples = collector.read(now)
    except Exception as error:
        return Outcome(collector.name, clock() - start, error=_line(error))
    return Outcome(collector.name, clock() - start, samples)


def health(outcomes: Sequence[Outcome]) -> tuple[Samples, ...]:
    """Success and duration of every collector."""
    return (
        Samples(COLLECTOR_SUCCESS, {(o.collector,): float(o.error is None) for o in outcomes}),
        Samples(COLLECTOR_DURATION, {(o.collector,): o.seconds for o in outcomes}),
    )


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, StoreError) else f"{type(error).__name__}: {text}"
