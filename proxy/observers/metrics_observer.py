"""The metrics as an observer of request events, their label values bounded."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from decimal import Decimal
from time import monotonic
from typing import get_args

from ledger.pricing.cost import Unpriced
from ledger.pricing.counts import Counts
from ledger.pricing.table import CurrentPrices
from ledger.requests.error_codes import ERROR_CLASSES, KNOWN_CODES, error_class
from ledger.requests.sums.grouped import Group, Sums, group_cost, grouped
from ledger.values import DEFAULT_ACCOUNT, UNKNOWN_MODEL, RequestEvent
from metrics import proxy as m
from proxy.http.routes import APIS, METHODS
from proxy.observers.registry import Metrics, observe_all

log = logging.getLogger("quotascope.metrics")

OTHER = "other"

MAX_PROVIDERS = 50

REPORTING = ("openrouter", "xai")
"""Providers that are known to say what a request cost."""

MAX_GROUPS = 64
MAX_GATHERED = 1_024
"""Groups, and events in them, that are counted together; to count those takes less than a millisecond."""

TELL_SECONDS = 60.0
"""How often it is logged that requests cannot be counted."""

MAX_LENGTH = 100
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
        if self._room <= 0 or len(value) > MAX_LENGTH:
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


class MetricsObserver:
    """Counts request events into the declared families.

    Args:
        max_models, max_keys, max_codes: label values beyond the known ones before `other`.
    """

    def __init__(
        self, metrics: Metrics, prices: CurrentPrices, *, max_models: int, max_keys: int, max_codes: int
    ) -> None:
        self._metrics = metrics
        self._prices = prices
        configured = {p.model for p in prices.book.prices if p.origin == "config" and "*" not in p.model}
        models = configured | {*COMMON_MODELS}
        self._model = BoundedLabel(max_models, (*models, UNKNOWN_MODEL))
        self._key = BoundedLabel(max_keys, ("unknown", "short_key"))
        self._project = BoundedLabel(max_keys)
        self._provider = BoundedLabel(MAX_PROVIDERS, REPORTING)
        self._code = BoundedLabel(max_codes, KNOWN_CODES)
        self._groups: dict[Group, Sums] = {}
        self._gathered = 0
        self._lost, self._told_at = 0, -TELL_SECONDS
        _start_at_zero(metrics, models)

    def __call__(self, events: Sequence[RequestEvent]) -> None:
        grouped(events, self._groups)
        self._gathered += len(events)
        if len(self._groups) >= MAX_GROUPS or self._gathered >= MAX_GATHERED:
            self.deliver()

    def deliver(self) -> None:
        """Count what was gathered since the last time."""
        groups, self._groups, self._gathered = self._groups, {}, 0
        fault: Exception | None = None
        for group, sums in groups.items():
            try:
                self._count(group, sums)
            except Exception as error:  # as where the files that workers share are full: the others count
                self._lost, fault = self._lost + sums.requests, error
        if fault is not None and monotonic() - self._told_at >= TELL_SECONDS:
            log.error("%d requests are not counted, or in part", self._lost, exc_info=fault)
            self._lost, self._told_at = 0, monotonic()

    def _count(self, at: Group, sums: Sums) -> None:
        model = self._model(at.model or UNKNOWN_MODEL)
        key = self._key(at.key)
        self._count_requests(at, sums, model, key)
        if at.status == "error":
            self._count_errors(at, sums, key)
        if sums.unmetered:
            self._metrics.counter(m.UNMETERED, at.api, at.route).inc(sums.unmetered)
        if sums.implausible:
            self._metrics.counter(m.IMPLAUSIBLE, at.api).inc(sums.implausible)
        if at.billable:
            self._count_tokens(at, sums, model, key)
            self._count_cost(at, sums, model, key)

    def _count_errors(self, at: Group, sums: Sums, key: str) -> None:
        code, kind = at.error_code or "unknown", error_class(at.error_code, at.http_status)
        self._metrics.counter(m.ERRORS, self._code(code)).inc(sums.requests)
        self._metrics.counter(m.ACCOUNT_ERRORS, at.account, kind).inc(sums.requests)
        self._metrics.counter(m.KEY_ERRORS, key).inc(sums.requests)

    def _count_requests(self, at: Group, sums: Sums, model: str, key: str) -> None:
        metrics = self._metrics
        method = at.method if at.method in METHODS else "other"
        metrics.counter(m.REQUESTS, at.status, model, at.api).inc(sums.requests)
        metrics.counter(m.ACCOUNT_REQUESTS, at.account, at.status, at.api).inc(sums.requests)
        metrics.counter(m.API_KEY_REQUESTS, key).inc(sums.requests)
        if at.project:
            metrics.counter(m.PROJECT_REQUESTS, self._project(at.project)).inc(sums.requests)
        if at.batched:  # the request that reads them is counted by itself
            return
        metrics.counter(m.HTTP_REQUESTS, str(at.http_status), method, at.route).inc(sums.requests)
        observe_all(metrics.histogram(m.LATENCY, model, at.api), sums.latencies)
        seconds = [ms / 1000 for ms in sums.latencies]
        observe_all(metrics.histogram(m.HTTP_DURATION, method, at.route), seconds)
        if sums.first_tokens:
            observe_all(metrics.histogram(m.TIME_TO_FIRST_TOKEN, model, at.api), sums.first_tokens)

    def _count_tokens(self, at: Group, sums: Sums, model: str, key: str) -> None:
        metrics = self._metrics
        by_kind = sums.by_kind()
        for kind, count in by_kind:
            metrics.counter(m.TOKENS, kind, model).inc(count)
            metrics.counter(m.ACCOUNT_TOKENS, at.account, kind, at.api).inc(count)
        if by_kind and at.http_status == 200:
            of = Counts(*sums.counts)
            metrics.counter(m.KEY_PROMPT_TOKENS, key).inc(of.input)
            metrics.counter(m.KEY_COMPLETION_TOKENS, key).inc(of.output)
            metrics.counter(m.KEY_TOKENS, key).inc(of.input + of.output)

    def _count_cost(self, at: Group, sums: Sums, model: str, key: str) -> None:
        cost = group_cost(self._prices.book, at, sums)
        metrics = self._metrics
        if isinstance(cost, Decimal):
            metrics.counter(m.COST, model).inc(float(cost))
            metrics.counter(m.ACCOUNT_COST, at.account, at.api).inc(float(cost))
            metrics.counter(m.KEY_COST, key, model).inc(float(cost))
            if at.project:
                metrics.counter(m.PROJECT_COST, self._project(at.project)).inc(float(cost))
            if at.reported:
                provider = self._provider(at.provider or "unknown")
                metrics.counter(m.REPORTED_COST, provider).inc(float(sums.reported_usd))
                metrics.counter(m.REPORTED_COST_OURS, provider).inc(float(cost))
        elif at.status == "success":
            metrics.counter(m.UNPRICED, at.api, cost).inc(sums.requests)
            metrics.counter(m.ACCOUNT_UNPRICED, at.account, at.api, cost).inc(sums.requests)


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
