"""The metrics as an observer of request events.

Events of a batch that share all their labels are summed first and counted once: label look-ups and
increments cost more than anything else that metering does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple, get_args

from ledger.cost import Unpriced, price_request
from ledger.prices import PriceBook
from ledger.values import DEFAULT_ACCOUNT, UNKNOWN_MODEL, RequestEvent
from proxy import metrics as m
from proxy.classify import ERROR_CLASSES, KNOWN_CODES, error_class
from proxy.labels import BoundedLabel
from proxy.registry import Metrics
from proxy.routes import APIS, METHODS

STATUSES = ("success", "error", "cancelled")
KINDS = ("input", "output", "cached_input", "reasoning")
_COMMON_APIS = ("responses", "chat_completions")


class Labels(NamedTuple):
    """What the events of one sum have in common."""

    status: str
    model: str | None
    api: str
    account: str
    key: str
    http_status: int
    method: str
    route: str
    error_code: str | None


@dataclass(slots=True)
class Sums:
    """Events with the same labels; `latencies` in milliseconds, `usd` of the priced ones."""

    requests: int = 0
    metered: bool = False
    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    usd: Decimal = Decimal(0)
    latencies: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    unpriced: dict[Unpriced, int] = field(default_factory=dict)

    def add(self, event: RequestEvent, book: PriceBook) -> None:
        self.requests += 1
        if event.status != "cancelled":  # how long people wait before they give up is no latency
            self.latencies.append(event.latency_ms)
            if event.latency_first_token_ms is not None:
                self.first_tokens.append(event.latency_first_token_ms)
        if not event.billable:
            return
        usage, output = event.usage, event.usage.billed_output
        cost = price_request(book, event.model, usage, event.requested_at, event.service_tier)
        if isinstance(cost, Decimal):
            self.usd += cost
        elif event.status == "success":
            self.unpriced[cost] = self.unpriced.get(cost, 0) + 1
        if usage.input_tokens is not None or output is not None:
            self.metered = True
            self.input += usage.input_tokens or 0
            self.output += output or 0
            self.cached += usage.billed_cached
            self.reasoning += usage.reasoning_tokens or 0


class MetricsObserver:
    """Counts request events into the declared families.

    Args:
        most_models, most_keys, most_codes: label values beyond the known ones before `other`.
    """

    def __init__(
        self, metrics: Metrics, book: PriceBook, *, most_models: int, most_keys: int, most_codes: int
    ) -> None:
        self._metrics = metrics
        self._book = book
        models = {price.model for price in book.prices if not price.model.endswith("*")}
        self._model = BoundedLabel(most_models, (*models, UNKNOWN_MODEL))
        self._key = BoundedLabel(most_keys, ("unknown", "short_key"))
        self._code = BoundedLabel(most_codes, KNOWN_CODES)
        _start_at_zero(metrics, models)

    def __call__(self, events: Sequence[RequestEvent]) -> None:
        groups: dict[Labels, Sums] = {}
        for event in events:
            labels = Labels(
                event.status,
                event.model,
                event.api,
                event.account_id,
                event.api_key_id,
                event.http_status,
                event.method,
                event.route,
                event.error_code,
            )
            sums = groups.get(labels)
            if sums is None:
                sums = groups[labels] = Sums()
            sums.add(event, self._book)
        for labels, sums in groups.items():
            self._count(labels, sums)

    def _count(self, at: Labels, sums: Sums) -> None:
        model = self._model(at.model or UNKNOWN_MODEL)
        key = self._key(at.key)
        self._count_requests(at, sums, model, key)
        if at.status == "error":
            metrics = self._metrics
            metrics.counter(m.ERRORS, self._code(at.error_code or "unknown")).inc(sums.requests)
            kind = error_class(at.error_code, at.http_status)
            metrics.counter(m.ACCOUNT_ERRORS, at.account, kind).inc(sums.requests)
        for reason, count in sums.unpriced.items():
            self._metrics.counter(m.UNPRICED, at.api, reason).inc(count)
            self._metrics.counter(m.ACCOUNT_UNPRICED, at.account, at.api, reason).inc(count)
        if sums.metered:
            self._count_tokens(at, sums, model, key)

    def _count_requests(self, at: Labels, sums: Sums, model: str, key: str) -> None:
        metrics = self._metrics
        method = at.method if at.method in METHODS else "other"
        metrics.counter(m.REQUESTS, at.status, model, at.api).inc(sums.requests)
        metrics.counter(m.ACCOUNT_REQUESTS, at.account, at.status, at.api).inc(sums.requests)
        metrics.counter(m.API_KEY_REQUESTS, key).inc(sums.requests)
        metrics.counter(m.HTTP_REQUESTS, str(at.http_status), method, at.route).inc(sums.requests)
        _observe(metrics.histogram(m.LATENCY, model, at.api).observe, sums.latencies)
        seconds = [ms / 1000 for ms in sums.latencies]
        _observe(metrics.histogram(m.HTTP_DURATION, method, at.route).observe, seconds)
        if sums.first_tokens:
            first_token = metrics.histogram(m.TIME_TO_FIRST_TOKEN, model, at.api)
            _observe(first_token.observe, sums.first_tokens)

    def _count_tokens(self, at: Labels, sums: Sums, model: str, key: str) -> None:
        metrics = self._metrics
        counts = (sums.input, sums.output, sums.cached, sums.reasoning)
        for kind, count in zip(KINDS, counts, strict=True):
            metrics.counter(m.TOKENS, kind, model).inc(count)
            metrics.counter(m.ACCOUNT_TOKENS, at.account, kind, at.api).inc(count)
        metrics.counter(m.COST, model).inc(float(sums.usd))
        metrics.counter(m.ACCOUNT_COST, at.account, at.api).inc(float(sums.usd))
        if at.http_status == 200:
            metrics.counter(m.KEY_PROMPT_TOKENS, key).inc(sums.input)
            metrics.counter(m.KEY_COMPLETION_TOKENS, key).inc(sums.output)
            metrics.counter(m.KEY_TOKENS, key).inc(sums.input + sums.output)


def _observe(observe: Callable[[float], None], values: Iterable[float]) -> None:
    for value in values:
        observe(value)


def _start_at_zero(metrics: Metrics, models: Iterable[str]) -> None:
    """`increase` never counts a counter's first value, so whatever is known beforehand begins at 0."""
    for model in models:
        metrics.counter(m.COST, model)
        for kind in KINDS:
            metrics.counter(m.TOKENS, kind, model)
        for api in _COMMON_APIS:
            for status in STATUSES:
                metrics.counter(m.REQUESTS, status, model, api)
    for api in APIS:
        metrics.counter(m.ACCOUNT_COST, DEFAULT_ACCOUNT, api)
        for reason in get_args(Unpriced):
            metrics.counter(m.UNPRICED, api, reason)
            metrics.counter(m.ACCOUNT_UNPRICED, DEFAULT_ACCOUNT, api, reason)
        for kind in KINDS:
            metrics.counter(m.ACCOUNT_TOKENS, DEFAULT_ACCOUNT, kind, api)
        for status in STATUSES:
            metrics.counter(m.ACCOUNT_REQUESTS, DEFAULT_ACCOUNT, status, api)
    for code in KNOWN_CODES:
        metrics.counter(m.ERRORS, code)
    for error in ERROR_CLASSES:
        metrics.counter(m.ACCOUNT_ERRORS, DEFAULT_ACCOUNT, error)
