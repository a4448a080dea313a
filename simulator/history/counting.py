"""Request events counted up into series, tick by tick, as a process and its scrapes would have them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf

from ledger.pricing.prices import PriceBook
from ledger.values import RequestEvent
from metrics.family import MetricFamily
from metrics.proxy import FAMILIES, LOOP_LAG
from simulator.history.metering import Step, steps
from simulator.history.scrapes import Scrapes

COUNTED = tuple(f for f in FAMILIES if f.kind != "gauge" and f != LOOP_LAG)
"""Counters and histograms: what request events say something about."""

Key = tuple[str, tuple[str, ...]]
"""Name and label values of one series; a bucket's `le` stands behind the family's own labels."""


@dataclass(slots=True)
class Series:
    """One series: from tick `ticks[i]` on it holds `values[i]`. It begins at 0 with the first tick, so
    that `increase` misses nothing."""

    ticks: list[int] = field(default_factory=lambda: [0])
    values: list[Decimal] = field(default_factory=lambda: [Decimal(0)])

    def rise(self, tick: int, amount: Decimal) -> None:
        """Grow by an amount; ticks come in their order."""
        self.set(tick, self.values[-1] + amount)

    def set(self, tick: int, value: Decimal) -> None:
        """Hold a value from a tick on."""
        if self.ticks[-1] == tick:
            self.values[-1] = value
        else:
            self.ticks.append(tick)
            self.values.append(value)


Group = list[tuple[str, tuple[str, ...], Series]]
"""Series that are scraped as one, each with its name and label values."""


@dataclass(frozen=True, slots=True)
class Counted:
    """All series of some families, and when they were scraped."""

    scrapes: Scrapes
    families: tuple[MetricFamily, ...]
    series: dict[Key, Series]

    def of(self, family: MetricFamily) -> Iterator[Group]:
        """A family's series, those of one set of labels together: of a histogram its buckets in their
        order, its sum and its count."""
        groups: dict[tuple[str, ...], Group] = {}
        for (name, labels), series in self.series.items():
            if name in family.series:
                groups.setdefault(labels[: len(family.labels)], []).append((name, labels, series))
        for labels in sorted(groups):
            yield groups[labels]


def count(
    events: Iterable[RequestEvent],
    scrapes: Scrapes,
    book: PriceBook,
    families: Sequence[MetricFamily] = COUNTED,
    metered: Callable[[RequestEvent, PriceBook], Iterable[Step]] = steps,
) -> Counted:
    """Count events up.

    Args:
        events: in the order of time; those outside of the scrapes' range are left out.
        families: counters and histograms of the proxy.
        metered: what one event adds.
    """
    wanted = {f.name for f in families}
    series: dict[Key, Series] = {(name, ()): Series() for f in families if not f.labels for name in f.series}
    life = 0
    for event in events:
        tick = scrapes.seen(event.requested_at)
        if tick is None:
            continue
        life = _restarted(series, scrapes, life, scrapes.life(event.requested_at))
        for step in metered(event, book):
            if step.family.name in wanted:
                _take(series, tick, step)
    _restarted(series, scrapes, life, len(scrapes.restarts))
    return Counted(scrapes, tuple(families), series)


def _restarted(series: dict[Key, Series], scrapes: Scrapes, life: int, now: int) -> int:
    """Set everything to 0 once for each process that has begun."""
    for later in range(life + 1, now + 1):
        for each in series.values():
            each.set(scrapes.first_of(later), Decimal(0))
    return now


def _take(series: dict[Key, Series], tick: int, step: Step) -> None:
    family, labels = step.family, step.labels
    if family.kind != "histogram":
        _at(series, family.name, labels).rise(tick, step.amount)
        return
    fits = bisect_left(family.buckets, step.amount)
    for place, bound in enumerate((*family.buckets, inf)):
        bucket = _at(series, family.bucket, (*labels, "+Inf" if bound == inf else repr(bound)))
        if place >= fits:
            bucket.rise(tick, Decimal(1))
    _at(series, family.sum, labels).rise(tick, step.amount)
    _at(series, family.count, labels).rise(tick, Decimal(1))


def _at(series: dict[Key, Series], name: str, labels: tuple[str, ...]) -> Series:
    found = series.get((name, labels))
    if found is None:
        found = series[name, labels] = Series()
    return found
