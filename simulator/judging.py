"""Whether a proxy treated its accounts as it should have, by the logs of those on either side of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ledger.families import MetricFamily
from proxy import metrics as m
from simulator.attempts import Attempt, by_account
from simulator.calls import Call
from simulator.fixed import USAGE
from simulator.provider_accounts import ProviderAccount

API = "responses"
_EVENTS = {
    "rate_limit": "rate_limit",
    "quota": "quota_exceeded",
    "auth": "permanent_failure",
    "upstream": "error",
}
_TIERS = {"pro": "pro", "enterprise": "pro", "free": "free"}
_TOKENS = {
    "input": USAGE.input_tokens,
    "output": USAGE.output_tokens,
    "cached_input": USAGE.cached_input_tokens,
    "reasoning": USAGE.reasoning_tokens,
}

SELECTED = 'outcome="selected"'
COUNTED: tuple[MetricFamily, ...] = (
    m.ACCOUNT_REQUESTS,
    m.ACCOUNT_ERRORS,
    m.ACCOUNT_TOKENS,
    m.RETRIES,
    m.ACCOUNT_RETRIES,
    m.LB_MARK,
    m.LB_PERMANENT,
    m.LB_SELECTED_TIER,
)
"""Families of which every series follows from the logs."""


def asked_too_late(attempts: Iterable[Attempt]) -> list[str]:
    """Requests that reached an account which was to be left alone, though that was known before it was
    chosen. What was under way at that moment is no fault."""
    faults = []
    for account, mine in by_account(attempts).items():
        told = sorted((a for a in mine if a.away_until > 0), key=lambda a: a.known_at)
        for attempt in mine:
            for other in told:
                if other.known_at >= attempt.not_before:
                    break
                if attempt.asked_at < other.away_until:
                    faults.append(
                        f"{attempt.call.request_id} reached {account} "
                        f"{attempt.not_before - other.known_at:.3f} s after {other.code} was known"
                    )
                    break
    return faults


def failed(attempts: Iterable[Attempt], calls: Iterable[Call]) -> list[str]:
    """Requests that were not answered well; where some account always answers there must be none."""
    tried = Counter(attempt.call.request_id for attempt in attempts)
    return [
        f"{call.request_id}: {call.status} after {tried[call.request_id]} accounts: {call.error[:200]}"
        for call in calls
        if call.status != 200
    ]


def expected(attempts: Sequence[Attempt], accounts: Iterable[ProviderAccount]) -> Mapping[str, float]:
    """What the proxy's counters must have come to: `name{labels}` -> value, without those at 0."""
    described = {account.id: account for account in accounts}
    found: Counter[str] = Counter()
    first: set[str] = set()
    for attempt in attempts:
        again = attempt.call.request_id in first
        first.add(attempt.call.request_id)
        _count_selection(found, attempt, described[attempt.account], again=again)
        _count_outcome(found, attempt)
    return {name: float(value) for name, value in found.items() if value}


def counted(samples: Mapping[str, float]) -> Mapping[str, float]:
    """The part of a scrape that `expected` speaks of, without series at 0."""
    names = (*(family.name for family in COUNTED), m.LB_TIER_SCORE.count)
    return {
        key: value
        for key, value in samples.items()
        if value
        and ((name := key.partition("{")[0]) in names or (name == m.LB_SELECT.name and SELECTED in key))
    }


def series(family: MetricFamily, *values: str, name: str | None = None) -> str:
    """A series as it stands in a scrape; values in the order of the family's labels."""
    labels = (f'{label}="{value}"' for label, value in sorted(zip(family.labels, values, strict=True)))
    return f"{name or family.name}{{{','.join(labels)}}}"


def _count_selection(found: Counter[str], attempt: Attempt, account: ProviderAccount, *, again: bool) -> None:
    pool = "pinned" if account.pinned else "full"
    how = (pool, "memory" if attempt.call.conversation else "none", str(again).lower())
    tier = _TIERS.get(account.plan, "plus")
    found[series(m.LB_SELECT, *how, "selected")] += 1
    found[series(m.LB_SELECTED_TIER, *how, tier)] += 1
    found[series(m.LB_TIER_SCORE, *how, tier, name=m.LB_TIER_SCORE.count)] += 1


def _count_outcome(found: Counter[str], attempt: Attempt) -> None:
    kind = attempt.error_class
    status = "success" if kind is None else "error"
    found[series(m.ACCOUNT_REQUESTS, attempt.account, status, API)] += 1
    if kind is None:
        for name, tokens in _TOKENS.items():
            found[series(m.ACCOUNT_TOKENS, attempt.account, name, API)] += tokens or 0
        return
    found[series(m.ACCOUNT_ERRORS, attempt.account, kind)] += 1
    found[series(m.LB_MARK, _EVENTS[kind], attempt.account)] += 1
    if kind == "auth":
        found[series(m.LB_PERMANENT, attempt.code or "")] += 1
    if not attempt.last:
        found[series(m.RETRIES, API, kind)] += 1
        found[series(m.ACCOUNT_RETRIES, attempt.account, API, kind)] += 1
