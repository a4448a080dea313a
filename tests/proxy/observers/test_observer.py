"""The metrics as an observer: equal to a plain recount, and bounded under a flood."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from ledger.pricing.cost import price_event
from ledger.pricing.files import load_seed
from ledger.pricing.prices import PriceBook
from ledger.pricing.table import CurrentPrices
from ledger.requests.error_codes import error_class
from ledger.values import NO_USAGE, RequestEvent, Usage
from metrics.family import MetricFamily
from metrics.proxy import FAMILIES, HTTP_DURATION, LATENCY, TIME_TO_FIRST_TOKEN
from proxy.observers.metrics_observer import MetricsObserver
from proxy.observers.registry import Metrics

if TYPE_CHECKING:
    from tests.proxy.conftest import MakeEvent

Series = tuple[str, frozenset[tuple[str, str]]]


@pytest.fixture(scope="session")
def book() -> PriceBook:
    return PriceBook(load_seed())


def observer(book: PriceBook, *, models: int = 100, keys: int = 100, codes: int = 100) -> MetricsObserver:
    prices = CurrentPrices(book)
    return MetricsObserver(Metrics(FAMILIES), prices, max_models=models, max_keys=keys, max_codes=codes)


def samples(made: MetricsObserver) -> dict[Series, float]:
    """Every sample of the scrape, the initial zeros left out."""
    made.deliver()
    text = made._metrics.exposition("")[0].decode()
    return {
        (s.name, frozenset(s.labels.items())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
        if s.value
    }


def at(name: str, **labels: str) -> Series:
    return name, frozenset(labels.items())


def test_what_cannot_be_counted_costs_other_groups_nothing(
    book: PriceBook, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the last tenth of a second many are counted together."""
    made = observer(book)
    count = made._metrics.counter

    def counter(family: MetricFamily, *labels: str) -> Any:
        if "anna" in labels:  # a new series, for which the files that workers share must grow
            raise OSError(28, "No space left on device")
        return count(family, *labels)

    monkeypatch.setattr(made._metrics, "counter", counter)
    made([make_event(account_id=name) for name in ("ben", "anna", "carl")])
    found = samples(made)
    monkeypatch.undo()
    for name in ("ben", "carl"):
        labels = {"account_id": name, "status": "success", "api": "responses"}
        assert found[at("codex_lb_proxy_account_requests_total", **labels)] == 1


OUTCOMES = (
    ("success", 200, None),
    ("success", 201, None),
    ("cancelled", 200, None),
    ("cancelled", 0, None),
    ("error", 429, "rate_limit_exceeded"),
    ("error", 500, None),
    ("error", 200, "server_error"),
)


def invented(make_event: MakeEvent, seed: int, count: int) -> list[RequestEvent]:
    """Events with everything in them that is counted, in any combination."""
    rng = random.Random(seed)
    events = []
    for _ in range(count):
        status, http, code = rng.choice(OUTCOMES)
        full = Usage(rng.randrange(400_000), rng.randrange(900), rng.randrange(500), rng.randrange(90))
        events.append(
            make_event(
                status=status,
                http_status=http,
                error_code=code,
                model=rng.choice(["gpt-5.4", "gpt-5.4-2026-03-05", "gpt-5.6-sol", "mystery", None]),
                api=rng.choice(["responses", "chat_completions"]),
                route=rng.choice(["/v1/responses", "/v1/other"]),
                method=rng.choice(["POST", "GET", "PURGE"]),
                account_id=rng.choice(["default", "second"]),
                api_key_id=rng.choice(["sk-a...wxyz", "short_key", "unknown"]),
                project=rng.choice([None, "search", "web-shop"]),
                usage=rng.choice([full, full, NO_USAGE, Usage(5, None, 2, 1), Usage(7), Usage(None, 9)]),
                billable=rng.random() < 0.8,
                service_tier=rng.choice([None, "flex", "priority"]),
                requested_at=datetime(2026, rng.choice([8, 10]), rng.randrange(1, 28), 12, tzinfo=UTC),
                latency_ms=rng.choice([25.0, 25.1, 4_000.0, 1e6]),
                latency_first_token_ms=rng.choice([None, 10.0, 700.0]),
            )
        )
    return events


def recount(events: Sequence[RequestEvent], book: PriceBook) -> dict[Series, float]:
    """The contract, one event after the other, without any sums in between."""
    n: Counter[Series] = Counter()
    usd: dict[Series, Decimal] = {}
    for e in events:
        model = e.model or "unknown"
        method = e.method if e.method in ("GET", "POST") else "other"
        n[at("codex_lb_proxy_requests_total", status=e.status, model=model, api=e.api)] += 1
        account = {"account_id": e.account_id}
        n[at("codex_lb_proxy_account_requests_total", **account, status=e.status, api=e.api)] += 1
        n[at("api_key_requests_total", api_key=e.api_key_id)] += 1
        if e.project:
            n[at("codex_lb_proxy_project_requests_total", project=e.project)] += 1
        n[at("http_requests_total", status=str(e.http_status), method=method, path=e.route)] += 1
        if e.status == "error":
            n[at("codex_lb_proxy_errors_total", error_code=e.error_code or "unknown")] += 1
            kind = error_class(e.error_code, e.http_status)
            n[at("codex_lb_proxy_account_errors_total", **account, error_class=kind)] += 1
            n[at("api_key_errors_total", api_key=e.api_key_id)] += 1
        if not e.billable:
            continue
        u = e.usage
        counts = {
            "input": u.input_tokens or 0,
            "output": u.billed_output or 0,
            "cached_input": u.billed_cached,
            "cache_write": u.billed_cache_write + u.billed_cache_write_1h,
            "reasoning": u.reasoning_tokens or 0,
        }
        for token, count in counts.items():
            n[at("codex_lb_proxy_tokens_total", kind=token, model=model)] += count
            n[at("codex_lb_proxy_account_tokens_total", **account, kind=token, api=e.api)] += count
        if e.http_status == 200:
            n[at("token_usage_prompt_total", api_key=e.api_key_id)] += counts["input"]
            n[at("token_usage_completion_total", api_key=e.api_key_id)] += counts["output"]
            n[at("token_usage_total", api_key=e.api_key_id)] += counts["input"] + counts["output"]
        cost = price_event(book, e)
        if isinstance(cost, Decimal):
            for series in (
                at("codex_lb_proxy_cost_usd_total", model=model),
                at("codex_lb_proxy_account_cost_usd_total", **account, api=e.api),
                at("api_key_cost_usd_total", api_key=e.api_key_id, model=model),
                *([at("codex_lb_proxy_project_cost_usd_total", project=e.project)] if e.project else []),
            ):
                usd[series] = usd.get(series, Decimal(0)) + cost
        elif e.status == "success":
            n[at("codex_lb_proxy_unpriced_success_total", api=e.api, reason=cost)] += 1
            n[at("codex_lb_proxy_account_unpriced_success_total", **account, api=e.api, reason=cost)] += 1
    whole = {series: float(value) for series, value in n.items() if value}
    return whole | {series: float(value) for series, value in usd.items() if value}


@pytest.mark.parametrize("batch", [1, 7, 1_500], ids=lambda n: f"batches of {n}")
def test_counters_equal_a_plain_recount(make_event: MakeEvent, book: PriceBook, batch: int) -> None:
    events = invented(make_event, seed=batch, count=1_500)
    made = observer(book)
    for start in range(0, len(events), batch):
        made(events[start : start + batch])
    histograms = {name for f in FAMILIES if f.kind == "histogram" for name in f.series}
    found = {series: value for series, value in samples(made).items() if series[0] not in histograms}
    expected = recount(events, book)
    assert found.keys() == expected.keys()
    for series, value in expected.items():
        assert found[series] == pytest.approx(value, rel=1e-9), series


@pytest.mark.slow
def test_histograms_equal_a_plain_recount_without_cancelled_requests(
    make_event: MakeEvent, book: PriceBook
) -> None:
    events = invented(make_event, seed=5, count=1_500)
    made = observer(book)
    made(events)
    expected: dict[Series, float] = {}

    def observe(name: str, bounds: tuple[float, ...], value: float, **labels: str) -> None:
        for bound in (*bounds, float("inf")):
            le = "+Inf" if bound == float("inf") else str(bound)
            series = at(f"{name}_bucket", **labels, le=le)
            expected[series] = expected.get(series, 0) + (value <= bound)
        for part, step in (("count", 1.0), ("sum", value)):
            series = at(f"{name}_{part}", **labels)
            expected[series] = expected.get(series, 0) + step

    for e in events:
        if e.status == "cancelled":
            continue
        model, method = e.model or "unknown", e.method if e.method in ("GET", "POST") else "other"
        observe(LATENCY.name, LATENCY.buckets, e.latency_ms, model=model, api=e.api)
        seconds = e.latency_ms / 1000
        observe(HTTP_DURATION.name, HTTP_DURATION.buckets, seconds, method=method, path=e.route)
        if (first := e.latency_first_token_ms) is not None:
            observe(TIME_TO_FIRST_TOKEN.name, TIME_TO_FIRST_TOKEN.buckets, first, model=model, api=e.api)
    names = {name for f in (LATENCY, HTTP_DURATION, TIME_TO_FIRST_TOKEN) for name in f.series}
    found = {series: value for series, value in samples(made).items() if series[0] in names}
    assert found == pytest.approx({series: value for series, value in expected.items() if value})


@pytest.mark.slow
def test_a_flood_of_a_hundred_thousand_names_leaves_a_bounded_number_of_series(
    make_event: MakeEvent, book: PriceBook
) -> None:
    made = observer(book, models=10, keys=20, codes=5)

    def events(start: int, stop: int) -> list[RequestEvent]:
        """Each with a model, a key, a code and a method that nobody has heard of."""
        return [
            make_event(
                model=f"model-{n}",
                api_key_id=f"key-{n}",
                project=f"project-{n}",
                error_code=f"code-{n}",
                status="error",
                method=f"M{n}",
                http_status=400,
                billable=n % 10 == 0,
            )
            for n in range(start, stop)
        ]

    made(events(0, 100))
    series = len(made._metrics.exposition("")[0].splitlines())
    made(events(100, 25_000))
    assert len(made._metrics.exposition("")[0].splitlines()) == series
    found = samples(made)
    assert sum(value for (name, _), value in found.items() if name == "http_requests_total") == 25_000
    labels: dict[str, set[str]] = {}
    for _, pairs in found:
        for name, value in pairs:
            labels.setdefault(name, set()).add(value)
    assert len(labels["model"]) == 11
    assert len(labels["api_key"]) == 21
    assert len(labels["project"]) == 21
    assert len(labels["error_code"]) == 6
    assert labels["method"] == {"other"}


def test_no_events_change_nothing(book: PriceBook) -> None:
    made = observer(book)
    made([])
    assert samples(made) == {}


def test_what_a_provider_says_it_cost_is_counted_beside_our_price(
    make_event: MakeEvent, book: PriceBook
) -> None:
    made = observer(book)
    known = make_event(
        model="openai/gpt-5.6-sol",
        provider="openrouter",
        usage=Usage(1_000, 100),
        provider_cost_usd=Decimal("0.0055"),
    )
    unpriced = replace(known, model="nobody/knows", provider_cost_usd=Decimal(3))
    made([known, replace(known, provider_cost_usd=None), unpriced])
    found = samples(made)
    # 1000 * 4 + 100 * 20
    assert found[at("codex_lb_proxy_reported_cost_ours_usd_total", provider="openrouter")] == 0.006
    assert found[at("codex_lb_proxy_reported_cost_usd_total", provider="openrouter")] == 0.0055
