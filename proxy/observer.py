"""The metrics as an observer of request events.

Label lookups cost more than counting, and the same combination of labels comes again and again: the
bound children of a combination are looked up once and kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, get_args

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

Count = Callable[..., None]


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
        self._requests: dict[tuple[Any, ...], tuple[Count, ...]] = {}
        self._tokens: dict[tuple[Any, ...], tuple[Count, ...]] = {}
        self._first_token: dict[tuple[str, str], Count] = {}
        _start_at_zero(metrics, models)

    def __call__(self, event: RequestEvent) -> None:
        model = self._model(event.model or UNKNOWN_MODEL)
        key = self._key(event.api_key_id)
        self._count_request(event, model, key)
        if event.latency_first_token_ms is not None and event.status != "cancelled":
            self._observe_first_token(event.latency_first_token_ms, model, event.api)
        if event.status == "error":
            self._count_error(event)
        self._count_tokens(event, model, key)

    def _count_request(self, event: RequestEvent, model: str, key: str) -> None:
        at = (
            event.status,
            model,
            event.api,
            event.account_id,
            key,
            event.http_status,
            event.method,
            event.route,
        )
        found = self._requests.get(at) or self._bind_request(at)
        requests, account, by_key, http, seconds, latency = found
        requests()
        account()
        by_key()
        http()
        if event.status != "cancelled":  # how long people wait before they give up is no latency
            seconds(event.latency_ms / 1000)
            latency(event.latency_ms)

    def _bind_request(self, at: tuple[Any, ...]) -> tuple[Count, ...]:
        status, model, api, account, key, http_status, method, route = at
        metrics = self._metrics
        method = method if method in METHODS else "other"
        found = self._requests[at] = (
            metrics.counter(m.REQUESTS, status, model, api).inc,
            metrics.counter(m.ACCOUNT_REQUESTS, account, status, api).inc,
            metrics.counter(m.API_KEY_REQUESTS, key).inc,
            metrics.counter(m.HTTP_REQUESTS, str(http_status), method, route).inc,
            metrics.histogram(m.HTTP_DURATION, method, route).observe,
            metrics.histogram(m.LATENCY, model, api).observe,
        )
        return found

    def _observe_first_token(self, milliseconds: float, model: str, api: str) -> None:
        observe = self._first_token.get((model, api))
        if observe is None:
            observe = self._metrics.histogram(m.TIME_TO_FIRST_TOKEN, model, api).observe
            self._first_token[model, api] = observe
        observe(milliseconds)

    def _count_error(self, event: RequestEvent) -> None:
        code = event.error_code or "unknown"
        self._metrics.counter(m.ERRORS, self._code(code)).inc()
        kind = error_class(event.error_code, event.http_status)
        self._metrics.counter(m.ACCOUNT_ERRORS, event.account_id, kind).inc()

    def _count_tokens(self, event: RequestEvent, model: str, key: str) -> None:
        if not event.billable:
            return
        usage = event.usage
        cost = price_request(self._book, event.model, usage, event.requested_at, event.service_tier)
        if not isinstance(cost, Decimal):
            if event.status == "success":
                self._count_unpriced(event, cost)
            if usage.input_tokens is None and usage.billed_output is None:
                return
            cost = Decimal(0)
        at = (model, event.account_id, event.api, key)
        found = self._tokens.get(at) or self._bind_tokens(at)
        counts = (
            usage.input_tokens or 0,
            usage.billed_output or 0,
            usage.billed_cached,
            usage.reasoning_tokens or 0,
        )
        for index, count in enumerate(counts):
            if count:
                found[index](count)
                found[index + 4](count)
        found[8](float(cost))
        found[9](float(cost))
        if event.http_status == 200:
            found[10](counts[0])
            found[11](counts[1])
            found[12](counts[0] + counts[1])

    def _bind_tokens(self, at: tuple[Any, ...]) -> tuple[Count, ...]:
        model, account, api, key = at
        metrics = self._metrics
        found = self._tokens[at] = (
            *(metrics.counter(m.TOKENS, kind, model).inc for kind in KINDS),
            *(metrics.counter(m.ACCOUNT_TOKENS, account, kind, api).inc for kind in KINDS),
            metrics.counter(m.COST, model).inc,
            metrics.counter(m.ACCOUNT_COST, account, api).inc,
            metrics.counter(m.KEY_PROMPT_TOKENS, key).inc,
            metrics.counter(m.KEY_COMPLETION_TOKENS, key).inc,
            metrics.counter(m.KEY_TOKENS, key).inc,
        )
        return found

    def _count_unpriced(self, event: RequestEvent, reason: Unpriced) -> None:
        self._metrics.counter(m.UNPRICED, event.api, reason).inc()
        self._metrics.counter(m.ACCOUNT_UNPRICED, event.account_id, event.api, reason).inc()


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
    for kind in ERROR_CLASSES:
        metrics.counter(m.ACCOUNT_ERRORS, DEFAULT_ACCOUNT, kind)
