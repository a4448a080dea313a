"""The declared families as prometheus_client metrics of one registry."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import prometheus_client.values as library
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    enable_created_metrics,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics
from prometheus_client.registry import Collector

from ledger.errors import StoreUnavailable
from metrics.exposition import OPENMETRICS, content_type
from metrics.family import MetricFamily

FIRST_BYTES = 1 << 16
ENTRY_BYTES = 32
"""Of a series beside its name, at most."""

M = TypeVar("M", bound=MetricWrapperBase)

# When each series began: Prometheus can then count its first request. Only OpenMetrics has a place for it.
enable_created_metrics()  # type: ignore[no-untyped-call]


class ReservedFile(MmapedDict):
    """The file of a worker's values, with its disk space. On a full disk the kernel ends a process that
    writes to the library's own; here a new series cannot be made, and the others go on."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        if not read_mode:
            with Path(filename).open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, max(file.tell(), FIRST_BYTES))
        super().__init__(filename, read_mode)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        capacity = self._capacity
        while self._used + len(key.encode()) + ENTRY_BYTES > capacity:
            capacity *= 2
        if capacity > self._capacity:
            os.posix_fallocate(self._f.fileno(), 0, capacity)
        super()._init_value(key)  # type: ignore[no-untyped-call]


library.MmapedDict = ReservedFile  # type: ignore[attr-defined]


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
    """One metric for each declared family.

    Where the environment names a folder in PROMETHEUS_MULTIPROC_DIR, the values live in files there and
    `exposition` sums those of all processes.
    """

    def __init__(self, families: Iterable[MetricFamily]) -> None:
        self.registry = CollectorRegistry()
        self._families = tuple(families)
        try:
            self._metrics = {f.name: _make(f, self.registry) for f in self._families}
        except OSError as error:
            raise StoreUnavailable(f"the files of the metrics cannot be made: {error}") from error
        self._children: dict[tuple[str, tuple[str, ...]], MetricWrapperBase] = {}
        self._shared = os.environ.get("PROMETHEUS_MULTIPROC_DIR")

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The text of a scrape and its content type: OpenMetrics where the header Accept asks for it."""
        kind = content_type(accept)
        collector: Collector = self.registry
        if self._shared:
            collector = _Summed(self._shared, self._families)
        elif kind != OPENMETRICS:
            # In the plain text they would be series of their own, and double the number of series.
            collector = _WithoutCreated(self.registry)
        return (openmetrics if kind == OPENMETRICS else generate_latest)(collector), kind

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
        child = self._children.get((family.name, labels))
        if child is None:  # the library's own look-up takes a lock and costs ten times as much
            metric = self._metrics[family.name]
            child = self._children[family.name, labels] = metric.labels(*labels) if labels else metric
        assert isinstance(child, kind), f"{family.name} is declared a {family.kind}"
        return child


class _WithoutCreated(Collector):
    """The families of a registry without the moments at which their series began."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            created = f"{metric.name}_created"
            metric.samples = [sample for sample in metric.samples if sample.name != created]
            yield metric


class _Summed(Collector):
    """The families of all processes, each with its declared help."""

    def __init__(self, folder: str, families: Iterable[MetricFamily]) -> None:
        self._collector = MultiProcessCollector(None, path=folder)  # type: ignore[no-untyped-call]
        self._help = {f.name.removesuffix("_total"): f.help for f in families}

    def collect(self) -> Iterable[Metric]:
        for metric in self._collector.collect():  # type: ignore[no-untyped-call]
            metric.documentation = self._help[metric.name.removesuffix("_total")]
            yield metric


def _make(family: MetricFamily, registry: CollectorRegistry) -> MetricWrapperBase:
    if family.kind == "histogram":
        return Histogram(family.name, family.help, family.labels, buckets=family.buckets, registry=registry)
    if family.kind == "counter":
        return Counter(family.name, family.help, family.labels, registry=registry)
    # Of several processes, those that live are summed: each has a buffer of its own. Of their moments the
    # oldest counts.
    mode: Literal["livemin", "livesum"] = "livemin" if family.name.endswith("_at_seconds") else "livesum"
    return Gauge(family.name, family.help, family.labels, registry=registry, multiprocess_mode=mode)
