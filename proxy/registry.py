"""The declared families as prometheus_client metrics of one registry."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase

from ledger.families import MetricFamily

M = TypeVar("M", bound=MetricWrapperBase)

# `_created` series would double the number of series and are not in the contract.
disable_created_metrics()  # type: ignore[no-untyped-call]


def observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """`observe` for many values at once: each bucket is raised once, however many fall into it."""
    bounds = histogram._upper_bounds
    counts: dict[int, int] = {}
    for value in values:
        index = bisect_left(bounds, value)
        counts[index] = counts.get(index, 0) + 1
    for index, count in counts.items():
        histogram._buckets[index].inc(count)
    histogram._sum.inc(sum(values))


class Metrics:
    """One metric for each declared family."""

    def __init__(self, families: Iterable[MetricFamily]) -> None:
        self.registry = CollectorRegistry()
        self._metrics = {f.name: _make(f, self.registry) for f in families}

    def counter(self, family: MetricFamily, *labels: str) -> Counter:
        """The counter's child with these label values, in declared order."""
        return self._child(family, Counter, labels)

    def gauge(self, family: MetricFamily, *labels: str) -> Gauge:
        """The gauge's child with these label values."""
        return self._child(family, Gauge, labels)

    def histogram(self, family: MetricFamily, *labels: str) -> Histogram:
        """The histogram's child with these label values."""
        return self._child(family, Histogram, labels)

    def _child(self, family: MetricFamily, kind: type[M], labels: tuple[str, ...]) -> M:
        metric = self._metrics[family.name]
        assert isinstance(metric, kind), f"{family.name} is declared a {family.kind}"
        return metric.labels(*labels) if labels else metric


def _make(family: MetricFamily, registry: CollectorRegistry) -> MetricWrapperBase:
    if family.kind == "histogram":
        return Histogram(family.name, family.help, family.labels, buckets=family.buckets, registry=registry)
    kind = Counter if family.kind == "counter" else Gauge
    return kind(family.name, family.help, family.labels, registry=registry)
