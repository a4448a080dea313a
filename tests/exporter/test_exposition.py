from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from metrics.exporter import ACCOUNT_COST_7D, ACCOUNTS, FAMILIES, IDENTITY, NEWEST_REQUEST
from metrics.exposition import Samples, render
from metrics.family import MetricFamily


def scraped(samples: list[Samples]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What a Prometheus would read."""
    return {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(render(samples).decode())
        for sample in family.samples
    }


def test_a_value_arrives_with_its_name_and_labels() -> None:
    identity = Samples(IDENTITY, {("one", "one@example.com", "plus"): 1.0})
    labels = (("account_id", "one"), ("display", "one@example.com"), ("plan_type", "plus"))
    assert scraped([identity, Samples(NEWEST_REQUEST, {(): 1_790_769_600.25})]) == {
        ("codex_lb_account_identity", labels): 1.0,
        ("codex_lb_exporter_newest_request_timestamp_seconds", ()): 1_790_769_600.25,
    }


@pytest.mark.parametrize("text", ['a"b', "a\\b", "a\nb", "höhe, ünd {so}=", ""])
def test_any_label_value_survives(text: str) -> None:
    assert scraped([Samples(ACCOUNTS, {(text,): 2.0})]) == {
        ("codex_lb_accounts_total", (("status", text),)): 2.0
    }


@pytest.mark.parametrize("value", [0.0, 1e-9, 123456789.125, math.inf, -2.5])
def test_any_value_survives(value: float) -> None:
    assert list(scraped([Samples(ACCOUNT_COST_7D, {("one",): value})]).values()) == [value]


def test_not_a_number_survives() -> None:
    (value,) = scraped([Samples(ACCOUNT_COST_7D, {("one",): math.nan})]).values()
    assert math.isnan(value)


def test_without_samples_every_family_is_still_declared() -> None:
    lines = render([]).decode().splitlines()
    assert lines == [
        line for f in FAMILIES for line in (f"# HELP {f.name} {f.help}", f"# TYPE {f.name} {f.kind}")
    ]


def test_it_reads_like_the_text_of_prometheus_client() -> None:
    resets = MetricFamily("resets_total", "counter", "Resets.", ("account_id",))
    samples = [
        Samples(resets, {("one",): 3.0, ('t"w\\o',): 1e20}),
        Samples(IDENTITY, {("one", "a\nb", "plus"): 1.0}),
        Samples(NEWEST_REQUEST, {(): 1_790_769_600.25}),
    ]
    registry = CollectorRegistry()
    registry.register(Reference(samples))
    theirs = text_string_to_metric_families(generate_latest(registry).decode())
    ours = text_string_to_metric_families(render(samples, [each.family for each in samples]).decode())
    assert list(ours) == list(theirs)


class Reference(Collector):
    """The same samples, written by prometheus_client."""

    def __init__(self, samples: list[Samples]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        for each in self._samples:
            kind = CounterMetricFamily if each.family.kind == "counter" else GaugeMetricFamily
            family = kind(each.family.name, each.family.help, labels=each.family.labels)
            for key, value in each.values.items():
                family.add_metric(key, value)
            yield family


def test_a_family_that_is_not_declared_is_refused() -> None:
    with pytest.raises(KeyError, match="undeclared"):
        render([Samples(MetricFamily("undeclared", "gauge", "?"), {(): 1.0})])
