from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from metrics.exporter import (
    ACCOUNT_COST_7D,
    ACCOUNTS,
    FAMILIES,
    IDENTITY,
    NEWEST_REQUEST,
    SECONDARY_RESETS,
)
from metrics.exposition import Beginnings, Exposition, Samples, content_type, render
from metrics.family import MetricFamily

Values = dict[tuple[str, ...], float]


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


class TestOpenMetrics:
    def test_it_says_the_same_and_when_series_began(self) -> None:
        beginnings = Beginnings()
        first: Values = {("one",): 3.0}
        second: Values = {("one",): 4.0, ('t"w\\o',): 1.0}
        Exposition([Samples(SECONDARY_RESETS, first)], beginnings).look(1_000)
        others = [Samples(ACCOUNTS, {("active",): 2.0}), Samples(NEWEST_REQUEST, {(): 1e9})]
        exposition = Exposition([*others, Samples(SECONDARY_RESETS, second)], beginnings).look(1_015.5)
        text, kind = exposition.text("application/openmetrics-text")
        found, plain = (
            {(s.name, *s.labels.values()): s.value for family in parsed for s in family.samples}
            for parsed in (
                openmetrics(text.decode()),  # type: ignore[no-untyped-call]
                text_string_to_metric_families(exposition.text()[0].decode()),
            )
        )
        assert kind.startswith("application/openmetrics-text; version=1.0.0")
        # Of "one" nobody knows: it was there at the first look.
        assert found == {**plain, ("codex_lb_secondary_resets_created", 't"w\\o'): 1_000}

    def test_histograms_too(self) -> None:
        beginnings = Beginnings()
        small = MetricFamily("seconds", "histogram", 'How "long".', ("way",), "seconds", (0.5, 1.0))
        Exposition([], beginnings, {small: {}}, ()).look(50)
        later = Exposition([], beginnings, {small: {("in",): ([1, 2, 3], 7.5)}}, ()).look(65)
        text, _ = later.text("application/openmetrics-text")
        (family,) = openmetrics(text.decode())  # type: ignore[no-untyped-call]
        assert (family.type, family.documentation) == ("histogram", 'How "long".')
        assert [(s.name, s.labels.get("le"), s.value) for s in family.samples] == [
            ("seconds_bucket", "0.5", 1),
            ("seconds_bucket", "1.0", 2),
            ("seconds_bucket", "+Inf", 3),
            ("seconds_sum", None, 7.5),
            ("seconds_count", None, 3),
            ("seconds_created", None, 50),
        ]

    def test_a_family_that_could_not_be_read_began_at_no_wrong_time(self) -> None:
        beginnings = Beginnings()
        looks: list[Values | None] = [None, {("one",): 5.0}, None, {("one",): 5.0, ("new",): 1.0}]
        for at, values in enumerate(looks, 1):
            samples = [] if values is None else [Samples(SECONDARY_RESETS, values)]
            Exposition(samples, beginnings).look(at)
        assert beginnings.of(SECONDARY_RESETS, ("one",)) is None
        assert beginnings.of(SECONDARY_RESETS, ("new",)) == 2

    @pytest.mark.parametrize(
        ("accept", "wanted"),
        [
            ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
            ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;q=0.5", True),
            ("Application/OpenMetrics-Text", True),
            ("text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5", False),
            ("application/openmetrics-text;q=0", False),
            ("application/openmetrics-text;q=no", True),
            ("text/html,application/xhtml+xml,*/*;q=0.8", False),
            ("*/*", False),
            ("", False),
        ],
    )
    def test_who_gets_it(self, accept: str, wanted: bool) -> None:
        assert content_type(accept).startswith("application/openmetrics-text") is wanted


def test_a_family_that_is_not_declared_is_refused() -> None:
    with pytest.raises(KeyError, match="undeclared"):
        render([Samples(MetricFamily("undeclared", "gauge", "?"), {(): 1.0})])
