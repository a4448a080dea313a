"""What one request adds to the counters of routing, as if each account had been chosen by its score.

Every request is a selection from the full pool. A failure with which the provider refuses the account marks
it, and stands for an attempt that was repeated. Written apart from the proxy, like `metering.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from ledger.pricing.prices import PriceBook
from ledger.values import RequestEvent
from metrics import proxy as m
from simulator.failures import error_class
from simulator.history.fleet import FLEET, SimulatedAccount
from simulator.history.metering import Step
from simulator.history.quota import SECONDARY_MINUTES, cycle_start

WEIGHTS = {"pro": 1.0, "plus": 0.72, "team": 0.72, "business": 0.72, "free": 0.512}
MARKS = {"rate_limit": "rate_limit", "quota": "quota_exceeded", "auth": "permanent_failure"}
"""The event of each class of error that is held against the account."""

_ACCOUNTS: Mapping[str, SimulatedAccount] = {account.id: account for account in FLEET}
_ONE = Decimal(1)


def steps(event: RequestEvent, _: PriceBook) -> Iterator[Step]:
    """Every step that one request makes; an account that is not of the fleet makes none."""
    account = _ACCOUNTS.get(event.account_id)
    if account is None:
        return
    how = ("full", "memory" if event.session_id else "none", "false")
    yield Step(m.LB_SELECT, (*how, "selected"), _ONE)
    yield Step(m.LB_SELECTED_TIER, (*how, account.plan_type), _ONE)
    yield Step(m.LB_TIER_SCORE, (*how, account.plan_type), Decimal(str(score(account, event))))
    if event.status == "error":
        yield from _failed(event)


def score(account: SimulatedAccount, event: RequestEvent) -> float:
    """The tier's weight by the second until the account's week ends, from its last minute on by 60 s."""
    since = event.requested_at - cycle_start(account, event.requested_at)
    return WEIGHTS[account.plan_type] / max(60.0, SECONDARY_MINUTES * 60 - since.total_seconds())


def _failed(event: RequestEvent) -> Iterator[Step]:
    kind = error_class(event.error_code)
    if kind not in MARKS:
        return
    yield Step(m.RETRIES, (event.api, kind), _ONE)
    yield Step(m.ACCOUNT_RETRIES, (event.account_id, event.api, kind), _ONE)
    yield Step(m.LB_MARK, (MARKS[kind], event.account_id), _ONE)
    if MARKS[kind] == "permanent_failure":
        yield Step(m.LB_PERMANENT, (event.error_code or "unknown",), _ONE)
