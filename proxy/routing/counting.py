"""What the router does, counted into the declared families."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from ledger.budgets import Period
from proxy import metrics as m
from proxy.classify import ERROR_CLASSES, ErrorClass
from proxy.registry import Metrics
from proxy.routes import APIS
from proxy.routing.marks import EVENTS, PERMANENT, Verdict
from proxy.routing.select import Selection
from proxy.routing.snapshot import POOLS, Outcome
from proxy.routing.tiers import TIERS

Backend = Literal["memory", "db", "none"]
Phase = Literal["usage", "token"]
"""What failed: the question about the quota, or the refresh of a token."""


class Counting:
    """Counts selections, marks, retries and refreshes.

    Args:
        backend: where conversations' accounts are kept; for requests of no conversation it is `none`.
    """

    def __init__(self, metrics: Metrics, backend: Backend) -> None:
        self._metrics = metrics
        self._backend: Backend = backend
        self._accounts: frozenset[str] = frozenset()
        _start_at_zero(metrics, {backend, "none"})

    def selected(self, selection: Selection, *, sticky: bool, retry: bool) -> None:
        """Count a selection, and the try in the pinned pool before it.

        Args:
            sticky: the request belongs to a conversation.
            retry: it was to be moved away from its account.
        """
        if selection.before is not None:
            self.selected(selection.before, sticky=sticky, retry=retry)
        labels = (selection.pool, self._backend if sticky else "none", str(retry).lower())
        self._metrics.counter(m.LB_SELECT, *labels, selection.outcome).inc()
        if selection.tier is not None:
            self._metrics.counter(m.LB_SELECTED_TIER, *labels, selection.tier).inc()
            self._metrics.histogram(m.LB_TIER_SCORE, *labels, selection.tier).observe(selection.score)

    def marked(self, account_id: str, verdict: Verdict) -> None:
        """Count what a failure said of an account."""
        self._metrics.counter(m.LB_MARK, verdict.event, account_id).inc()
        if verdict.event == "permanent_failure":
            self._metrics.counter(m.LB_PERMANENT, verdict.code).inc()

    def retried(self, account_id: str, api: str, error_class: ErrorClass) -> None:
        """Count an attempt that failed and is followed by another."""
        self._metrics.counter(m.RETRIES, api, error_class).inc()
        self._metrics.counter(m.ACCOUNT_RETRIES, account_id, api, error_class).inc()

    def refreshed(self, account_ids: Iterable[str], now: float) -> None:
        """Count a reading of the accounts; `now` in epoch seconds."""
        self._metrics.counter(m.LB_REFRESHES).inc()
        self._metrics.gauge(m.LB_UPDATED_AT).set(now)
        accounts = frozenset(account_ids)
        for account in accounts - self._accounts:
            for event in EVENTS:
                self._metrics.counter(m.LB_MARK, event, account)
        self._accounts |= accounts

    def refresh_failed(self, status_code: int, phase: Phase) -> None:
        """Count a poll or a token refresh that failed; 0 where no answer came."""
        self._metrics.counter(m.USAGE_REFRESH_FAILURES, str(status_code), phase).inc()

    def budget_hit(self, key: str, period: Period) -> None:
        """Count a request that a spent budget refused; `key` is the proxy key's name."""
        self._metrics.counter(m.BUDGET_HITS, key, period).inc()


def _start_at_zero(metrics: Metrics, backends: Iterable[str]) -> None:
    """`increase` never counts a counter's first value, so whatever is known beforehand begins at 0."""
    for pool in POOLS:
        for backend in backends:
            for retry in ("true", "false"):
                for outcome in get_args(Outcome):
                    metrics.counter(m.LB_SELECT, pool, backend, retry, outcome)
                for tier in TIERS:
                    metrics.counter(m.LB_SELECTED_TIER, pool, backend, retry, tier)
    for api in APIS:
        for error_class in ERROR_CLASSES:
            metrics.counter(m.RETRIES, api, error_class)
    for code in PERMANENT:
        metrics.counter(m.LB_PERMANENT, code)
