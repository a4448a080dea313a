"""The metrics as an observer of request events, their label values bounded.

Events of a batch that share all their labels are summed first and counted once: label look-ups and
increments cost more than anything else that metering does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal
from operator import add
from typing import NamedTuple, get_args

from ledger.pricing.cost import TokenSum, Unpriced, price_metered
from ledger.pricing.counts import Counts, count_values, is_metered
from ledger.pricing.current import CurrentPrices
from ledger.pricing.steps import context_step
from ledger.requests.error_codes import ERROR_CLASSES, KNOWN_CODES, error_class
from ledger.values import DEFAULT_ACCOUNT, NO_USAGE, UNKNOWN_MODEL, RequestEvent
from metrics import proxy as m
from proxy.http.routes import APIS, METHODS
from proxy.observers.registry import Metrics, observe_all

OTHER = "other"

MAX_PROVIDERS = 50

REPORTING = ("openrouter", "xai")
"""Providers that are known to say what a request cost."""

MOST_LENGTH = 100
"""Characters of a label value: what is longer is no name."""


class BoundedLabel:
    """Lets known values through, then new ones up to a cap, then answers `other`.

    Args:
        most: how many values beyond the known ones get a series of their own.
    """

    def __init__(self, most: int, known: Iterable[str] = ()) -> None:
        self._values = {value: value for value in known}
        self._room = most

    def __call__(self, value: str) -> str:
        found = self._values.get(value)
        if found is not None:
            return found
        if self._room <= 0 or len(value) > MOST_LENGTH:
            return OTHER
        self._room -= 1
        # Header bytes that are no UTF-8 come as lone surrogates, which no exposition can write.
        label = value.encode("utf-8", "replace").decode("utf-8")
        self._values[value] = label
        return label


STATUSES = ("success", "error", "cancelled")
KINDS = ("input", "output", "cached_input", "cache_write", "reasoning")
COMMON_MODELS = (
    *(
        "gpt-6-astra",
        "gpt-6.1-sol",
        "gpt-6-sol",
        "gpt-6-luna",
        "gpt-5.6-sol",
        "gpt-5.6-terra",
        "gpt-5.6-luna",
    ),
    *("gpt-5.5", "gpt-5.5-pro", "gpt-5.4", "gpt-5.4-mini", "gpt-5.4-nano", "gpt-5.3-codex", "gpt-5.2"),
    *("gpt-5.1", "gpt-5", "gpt-5.1-codex-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-4o"),
    *("gpt-4o-mini", "text-embedding-3-small", "text-embedding-3-large"),
)
"""Models whose series begin at 0; thousands have a price, and a series each would be too many."""

_COMMON_APIS = ("responses", "chat_completions")


class Labels(NamedTuple):
    """What the events of one sum have in common: labels, and what decides on the price."""

    status: str
    model: str | None
    api: str
    account: str
    key: str
    http_status: int
    method: str
    route: str
    error_code: str | None
    billable: bool
    metered: bool
    provider: str | None
    service_tier: str | None
    context_above: int
    day: date
    reported: bool
    batched: bool


_NO_COUNTS = (0,) * len(fields(Counts))


@dataclass(slots=True)
class Sums:
    """Events with the same labels; latencies in milliseconds, without those of cancelled requests."""

    at: datetime
    requests: int = 0
    counts: tuple[int, ...] = _NO_COUNTS
    reported_usd: Decimal = Decimal(0)
    reasoning: int = 0
    unmetered: int = 0
    implausible: int = 0
    latencies: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)

    def add(self, event: RequestEvent) -> None:
        self.requests += 1
        self.unmetered += event.unmetered
        self.implausible += event.implausible
        # How long people wait before they give up is no latency; of a batch it is not known.
        if event.status != "cancelled" and not event.batched:
            self.latencies.append(event.latency_ms)
            if event.latency_first_token_ms is not None:
                self.first_tokens.append(event.latency_first_token_ms)
        usage = event.usage
        if usage is not NO_USAGE or event.extra_units:
            self.counts = tuple(map(add, self.counts, count_values(usage, event.extra_units)))
            self.reasoning += usage.reasoning_tokens or 0
        if event.provider_cost_usd is not None:
            self.reported_usd += event.provider_cost_usd


class MetricsObserver:
    """Counts request events into the declared families.

    Args:
        most_models, most_keys, most_codes: label values beyond the known ones before `other`.
    """

    def __init__(
        self, metrics: Metrics, prices: CurrentPrices, *, most_models: int, most_keys: int, most_codes: int
    ) -> None:
        self._metrics = metrics
        self._prices = prices
        configured = {p.model for p in prices.book.prices if p.origin == "config" and "*" not in p.model}
        models = configured | {*COMMON_MODELS}
        self._model = BoundedLabel(most_models, (*models, UNKNOWN_MODEL))
        self._key = BoundedLabel(most_keys, ("unknown", "short_key"))
        self._provider = BoundedLabel(MAX_PROVIDERS, REPORTING)
        self._code = BoundedLabel(most_codes, KNOWN_CODES)
        _start_at_zero(metrics, models)

    def __call__(self, events: Sequence[RequestEvent]) -> None:
        groups: dict[Labels, Sums] = {}
        for event in events:
            labels = _labels(event)
            sums = groups.get(labels)
            if sums is None:
                sums = groups[labels] = Sums(event.requested_at)
            sums.add(event)
        for labels, sums in groups.items():
            self._count(labels, sums)

    def _count(self, at: Labels, sums: Sums) -> None:
        model = self._model(at.model or UNKNOWN_MODEL)
        key = self._key(at.key)
        self._count_requests(at, sums, model, key)
        if at.status == "error":
            self._count_errors(at, sums)
        if sums.unmetered:
            self._metrics.counter(m.UNMETERED, at.api, at.route).inc(sums.unmetered)
        if sums.implausible:
            self._metrics.counter(m.IMPLAUSIBLE, at.api).inc(sums.implausible)
        if at.billable:
            self._count_tokens(at, sums, model, key)
            self._count_cost(at, sums, model)

    def _count_errors(self, at: Labels, sums: Sums) -> None:
        code, kind = at.error_code or "unknown", error_class(at.error_code, at.http_status)
        self._metrics.counter(m.ERRORS, self._code(code)).inc(sums.requests)
        self._metrics.counter(m.ACCOUNT_ERRORS, at.account, kind).inc(sums.requests)

    def _count_requests(self, at: Labels, sums: Sums, model: str, key: str) -> None:
        metrics = self._metrics
        method = at.method if at.method in METHODS else "other"
        metrics.counter(m.REQUESTS, at.status, model, at.api).inc(sums.requests)
        metrics.counter(m.ACCOUNT_REQUESTS, at.account, at.status, at.api).inc(sums.requests)
        metrics.counter(m.API_KEY_REQUESTS, key).inc(sums.requests)
        if at.batched:  # the request that reads them is counted by itself
            return
        metrics.counter(m.HTTP_REQUESTS, str(at.http_status), method, at.route).inc(sums.requests)
        observe_all(metrics.histogram(m.LATENCY, model, at.api), sums.latencies)
        seconds = [ms / 1000 for ms in sums.latencies]
        observe_all(metrics.histogram(m.HTTP_DURATION, method, at.route), seconds)
        if sums.first_tokens:
            observe_all(metrics.histogram(m.TIME_TO_FIRST_TOKEN, model, at.api), sums.first_tokens)

    def _count_tokens(self, at: Labels, sums: Sums, model: str, key: str) -> None:
        metrics = self._metrics
        of = Counts(*sums.counts)
        written = of.cache_write + of.cache_write_1h
        by_kind = (of.input, of.output, of.cached_input, written, sums.reasoning)
        if not any(by_kind):
            return
        for kind, count in zip(KINDS, by_kind, strict=True):
            metrics.counter(m.TOKENS, kind, model).inc(count)
            metrics.counter(m.ACCOUNT_TOKENS, at.account, kind, at.api).inc(count)
        if at.http_status == 200:
            metrics.counter(m.KEY_PROMPT_TOKENS, key).inc(of.input)
            metrics.counter(m.KEY_COMPLETION_TOKENS, key).inc(of.output)
            metrics.counter(m.KEY_TOKENS, key).inc(of.input + of.output)

    def _count_cost(self, at: Labels, sums: Sums, model: str) -> None:
        row = TokenSum(
            model=at.model or UNKNOWN_MODEL,
            service_tier=at.service_tier,
            context_above=at.context_above,
            at=sums.at,
            metered=sums.requests if at.metered else 0,
            unmetered=0,
            counts=Counts(*sums.counts),
            provider=at.provider,
        )
        cost = price_metered(self._prices.book, row)
        metrics = self._metrics
        if isinstance(cost, Decimal):
            metrics.counter(m.COST, model).inc(float(cost))
            metrics.counter(m.ACCOUNT_COST, at.account, at.api).inc(float(cost))
            if at.reported:
                provider = self._provider(at.provider or "unknown")
                metrics.counter(m.REPORTED_COST, provider).inc(float(sums.reported_usd))
                metrics.counter(m.REPORTED_COST_OURS, provider).inc(float(cost))
        elif at.status == "success":
            metrics.counter(m.UNPRICED, at.api, cost).inc(sums.requests)
            metrics.counter(m.ACCOUNT_UNPRICED, at.account, at.api, cost).inc(sums.requests)


def _labels(event: RequestEvent) -> Labels:
    usage = event.usage
    return Labels(
        event.status,
        event.model,
        event.api,
        event.account_id,
        event.api_key_id,
        event.http_status,
        event.method,
        event.route,
        event.error_code,
        event.billable,
        is_metered(usage, event.extra_units),
        event.provider,
        event.billed_tier,
        context_step(usage.input_tokens),
        event.requested_at.date(),
        event.provider_cost_usd is not None,
        event.batched,
    )


def _start_at_zero(metrics: Metrics, models: Iterable[str]) -> None:
    """`increase` never counts a counter's first value, so whatever is known beforehand begins at 0."""
    for model in models:
        metrics.counter(m.COST, model)
        for kind in KINDS:
            metrics.counter(m.TOKENS, kind, model)
        for api in _COMMON_APIS:
            for status in STATUSES:
                metrics.counter(m.REQUESTS, status, model, api)
    for provider in REPORTING:
        metrics.counter(m.REPORTED_COST, provider)
        metrics.counter(m.REPORTED_COST_OURS, provider)
    for api in APIS:
        metrics.counter(m.ACCOUNT_COST, DEFAULT_ACCOUNT, api)
        for reason in get_args(Unpriced):
            metrics.counter(m.UNPRICED, api, reason)
            metrics.counter(m.ACCOUNT_UNPRICED, DEFAULT_ACCOUNT, api, reason)
        for kind in KINDS:
            metrics.counter(m.ACCOUNT_TOKENS, DEFAULT_ACCOUNT, kind, api)
        for status in STATUSES:
            metrics.counter(m.ACCOUNT_REQUESTS, DEFAULT_ACCOUNT, status, api)
        metrics.counter(m.IMPLAUSIBLE, api)
    for code in KNOWN_CODES:
        metrics.counter(m.ERRORS, code)
    for error in ERROR_CLASSES:
        metrics.counter(m.ACCOUNT_ERRORS, DEFAULT_ACCOUNT, error)
