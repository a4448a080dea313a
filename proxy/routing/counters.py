"""What the router does, counted into the declared families."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

from ledger.accounts.allowances import NANO_PER_USD, Charge
from ledger.accounts.budgets import Period
from ledger.requests.error_codes import ERROR_CLASSES, PERMANENT, ErrorClass
from metrics import proxy as m
from proxy.http.routes import APIS
from proxy.observers.registry import Metrics, observe_all
from proxy.routing.failure import EVENTS, Verdict
from proxy.routing.score import TIERS, Tier
from proxy.routing.selection import Selection
from proxy.routing.snapshot import POOLS, Outcome

Backend = Literal["memory", "db", "none"]
_REFUSALS = ("0", "400", "401", "403", "429", "500")
"""Statuses with which quota and tokens are usually refused; 0 where no answer came."""

_Selected = tuple[str, str, str, Outcome, Tier | None, float]
"""Pool, backend, whether it was a retry, outcome, tier, score."""


class Counting:
    """Counts selections, marks, retries and refreshes.

    Selections come with every request, so they are only collected; `deliver` counts them.

    Args:
        backend: where conversations' accounts are kept; for requests of no conversation it is `none`.
        limits: the names of proxy keys that have a budget, and its period.
    """

    def __init__(self, metrics: Metrics, backend: Backend, limits: Iterable[tuple[str, Period]] = ()) -> None:
        self._metrics = metrics
        self._backend: Backend = backend
        self._accounts: frozenset[str] = frozenset()
        self._selections: dict[_Selected, int] = {}
        self._charges: dict[str, Charge] = {}
        _start_at_zero(metrics, {backend, "none"})
        for key, period in limits:
            metrics.counter(m.BUDGET_HITS, key, period)
            for basis in ("metered", "estimated"):
                metrics.counter(m.BUDGET_CHARGED, key, basis)

    def selected(self, selection: Selection, *, sticky: bool, retry: bool) -> None:
        """Take a selection, and the try in the pinned pool before it.

        Args:
            sticky: the request belongs to a conversation.
            retry: it was to be moved away from its account.
        """
        if selection.before is not None:
            self.selected(selection.before, sticky=sticky, retry=retry)
        backend = self._backend if sticky else "none"
        retried = "true" if retry else "false"
        one = (selection.pool, backend, retried, selection.outcome, selection.tier, selection.score)
        self._selections[one] = self._selections.get(one, 0) + 1

    def deliver(self) -> None:
        """Count the selections that were made, and what was charged, since the last time."""
        charges, self._charges = self._charges, {}
        for key, charge in charges.items():
            metered, estimated = charge.nano - charge.estimated, charge.estimated
            self._metrics.counter(m.BUDGET_CHARGED, key, "metered").inc(metered / NANO_PER_USD)
            self._metrics.counter(m.BUDGET_CHARGED, key, "estimated").inc(estimated / NANO_PER_USD)
        selections, self._selections = self._selections, {}
        for (pool, backend, retry, outcome, tier, score), times in selections.items():
            labels = (pool, backend, retry)
            self._metrics.counter(m.LB_SELECT, *labels, outcome).inc(times)
            if tier is not None:
                self._metrics.counter(m.LB_SELECTED_TIER, *labels, tier).inc(times)
                observe_all(self._metrics.histogram(m.LB_TIER_SCORE, *labels, tier), [score] * times)

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

    def poll_failed(self, status_code: int) -> None:
        """Count a question about the quota that was not answered well; 0 where no answer came."""
        self._metrics.counter(m.USAGE_REFRESH_FAILURES, str(status_code), "usage").inc()

    def token_refused(self, status_code: int) -> None:
        """Count a token that could not be refreshed; 0 where no answer came."""
        self._metrics.counter(m.USAGE_REFRESH_FAILURES, str(status_code), "token").inc()

    def budget_hit(self, key: str, period: Period) -> None:
        """Count a request that a spent budget refused; `key` is the proxy key's name."""
        self._metrics.counter(m.BUDGET_HITS, key, period).inc()

    def charged(self, key: str, charge: Charge) -> None:
        """Take what a request charged to its key's budget."""
        self._charges[key] = self._charges.get(key, Charge()) + charge


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
    for phase in ("usage", "token"):
        for status in _REFUSALS:
            metrics.counter(m.USAGE_REFRESH_FAILURES, status, phase)
    for code in PERMANENT:
        metrics.counter(m.LB_PERMANENT, code)
