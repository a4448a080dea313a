"""Estimates of many accounts, recomputed only for those of which something has changed."""

from __future__ import annotations

from dataclasses import dataclass

from ledger.quota.cycle import Cycle
from ledger.quota.estimate import PERIOD, QuotaEstimate, QuotaRules, estimate
from ledger.quota.running import RunningRequests


@dataclass(frozen=True, slots=True)
class _Known:
    """An estimate, and what it was made of. It holds until the cycle ends, or begins to lie further back
    than what is counted."""

    cycle: Cycle
    requests: RunningRequests
    changes: int
    result: QuotaEstimate


class Estimates:
    """Answers as `estimate` does."""

    def __init__(self, rules: QuotaRules) -> None:
        self._rules = rules
        self._known: dict[str, _Known] = {}

    def of(
        self, account: str, cycle: Cycle | None, requests: RunningRequests, now: int, *, metered: bool = False
    ) -> QuotaEstimate:
        """The estimate of one account at `now`, microseconds since 1970."""
        known = self._known.get(account)
        if (
            known
            and known.cycle is cycle
            and known.requests is requests
            and known.changes == requests.changes
            and cycle.start >= now - PERIOD
            and now < cycle.high * 1_000_000
        ):
            return known.result
        result = estimate(cycle, requests, now, self._rules, metered=metered)
        self._known.pop(account, None)
        if cycle is not None:
            self._known[account] = _Known(cycle, requests, requests.changes, result)
        return result
