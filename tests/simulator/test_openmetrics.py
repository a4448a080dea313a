"""The text, read back by the reference parser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ledger.pricing.prices import PriceBook
from ledger.values import RequestEvent
from metrics import proxy as m
from simulator.history.counting import COUNTED, count
from simulator.history.openmetrics import text
from simulator.history.scrapes import Scrapes

START = datetime(2026, 9, 1, tzinfo=UTC)
parse: Callable[[str], Iterator[Metric]] = text_string_to_metric_families
SCRAPES = Scrapes(
    START,
    START + timedelta(minutes=4),
    job="j",
    instance="i:1",
    gaps=((START + timedelta(minutes=3), START + timedelta(minutes=4)),),
)


def test_counters_at_every_scrape(event: Callable[..., RequestEvent], book: PriceBook) -> None:
    events = [event(requested_at=START + timedelta(seconds=s)) for s in (90, 95)]
    counters = [f for f in COUNTED if f.kind == "counter"]
    families = {f.name: f for f in parse("".join(text(count(events, SCRAPES, book, counters))))}
    assert set(families) == {f.name.removesuffix("_total") for f in counters}
    samples = families["codex_lb_proxy_requests"].samples
    labels = {"instance": "i:1", "job": "j", "status": "success", "model": "gpt-5.4-mini", "api": "responses"}
    assert [(s.labels, s.value) for s in samples] == [(labels, 0), (labels, 0), (labels, 2), (labels, 2)]
    stamps = [float(s.timestamp) - START.timestamp() for s in samples if s.timestamp is not None]
    assert stamps == [0, 60, 120, 240]
    assert families["codex_lb_proxy_cost_usd"].samples[-1].value == 2 * 0.00093


def test_a_whole_scrape(event: Callable[..., RequestEvent], book: PriceBook) -> None:
    """One scrape at a time: the parser takes the buckets of a second one for duplicates."""
    counted = count([event(requested_at=START + timedelta(seconds=90), latency_ms=250.5)], SCRAPES, book)
    families = {f.name: f for f in parse("".join(text(counted, range(2, 3))))}
    assert set(families) == {f.name.removesuffix("_total") for f in COUNTED}
    latency = families["codex_lb_proxy_latency_ms"]
    assert latency.type == "histogram"
    values = {s.labels.get("le", s.name.rsplit("_", 1)[1]): s.value for s in latency.samples}
    assert [values[le] for le in ("250.0", "500.0", "+Inf", "sum", "count")] == [0, 1, 1, 250.5, 1]


def test_a_histogram_goes_scrape_by_scrape(event: Callable[..., RequestEvent], book: PriceBook) -> None:
    counted = count([event(requested_at=START + timedelta(seconds=90))], SCRAPES, book, (m.LATENCY,))
    samples = [line for line in "".join(text(counted)).splitlines() if not line.startswith("#")]
    width = len(m.LATENCY.buckets) + 3
    stamps = [int(line.rsplit(" ", 1)[1]) - int(START.timestamp()) for line in samples]
    assert stamps == [0] * width + [60] * width + [120] * width + [240] * width


def test_a_part_has_the_ticks_that_were_asked_for(
    event: Callable[..., RequestEvent], book: PriceBook
) -> None:
    counted = count([event(requested_at=START + timedelta(seconds=90))], SCRAPES, book, (m.API_KEY_REQUESTS,))
    lines = "".join(text(counted, range(1, 3))).splitlines()
    base = int(START.timestamp())
    series = 'api_key_requests_total{instance="i:1",job="j",api_key="sk-t...a1B2"}'
    assert lines[2:] == [f"{series} 0.0 {base + 60}", f"{series} 1.0 {base + 120}", "# EOF"]


def test_labels_are_escaped(event: Callable[..., RequestEvent], book: PriceBook) -> None:
    odd = 'a "quoted" \\ back\nslash'
    counted = count([event(requested_at=START, model=odd)], SCRAPES, book, (m.REQUESTS,))
    (family,) = parse("".join(text(counted)))
    assert {s.labels["model"] for s in family.samples} == {odd}


def test_parts_of_a_second_stay(book: PriceBook) -> None:
    start = START + timedelta(milliseconds=250)
    counted = count([], Scrapes(start, start + timedelta(minutes=1)), book, (m.BUFFER_DROPPED,))
    assert f" {int(START.timestamp())}.250\n" in "".join(text(counted))
