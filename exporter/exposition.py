"""Samples -> the text that Prometheus reads, by prometheus_client."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from exporter.metrics import FAMILIES
from exporter.samples import Samples
from ledger.families import MetricFamily

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""Goes with `render`: the two change together in prometheus_client."""

Rendered = CounterMetricFamily | GaugeMetricFamily


class Exposition(Collector):
    """The samples of one scrape in prometheus_client's terms.

    Every declared family is there with its help and type, without samples where nothing is known of it.
    """

    def __init__(self, samples: Iterable[Samples], families: Sequence[MetricFamily] = FAMILIES) -> None:
        self._rendered = {family.name: _empty(family) for family in families}
        for each in samples:
            for labels, value in each.values.items():
                self._rendered[each.family.name].add_metric(labels, value)

    def describe(self) -> list[Rendered]:
        return list(self._rendered.values())

    def collect(self) -> list[Rendered]:
        return list(self._rendered.values())


def render(samples: Iterable[Samples]) -> bytes:
    """The text of one scrape.

    Raises: KeyError for a family that is not declared in `exporter.metrics`.
    """
    registry = CollectorRegistry()
    registry.register(Exposition(samples))
    return generate_latest(registry)


def _empty(family: MetricFamily) -> Rendered:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    return kind(family.name, family.help, labels=family.labels)
