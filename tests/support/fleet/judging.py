"""Whether a proxy treated its accounts as it should have, by the logs of those on either side of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf

from metrics import proxy as m
from metrics.family import MetricFamily
from simulator.provider.fixed import USAGE
from tests.support.fleet.accounts import ProviderAccount
from tests.support.fleet.attempts import Attempt, by_account, by_request
from tests.support.fleet.calls import MODEL, Call

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
    m.REQUESTS,
    m.ERRORS,
    m.TOKENS,
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


Delay = Callable[[Attempt, Attempt], float]
"""Seconds that what the first attempt was told may take to where the second one is made."""


def one_proxy(_told: Attempt, _asking: Attempt) -> float:
    """What one process learns it knows."""
    return 0.0


def within(seconds: float, *, known_apart: bool = True) -> Delay:
    """Several processes that tell each other of refusals. A window that is told to be full beside an answer
    is no refusal yet: each hears of it itself.

    Args:
        known_apart: each has an origin of its own; else nobody sees which of them took a request.
    """

    def delay(told: Attempt, asking: Attempt) -> float:
        if known_apart and told.call.origin == asking.call.origin:
            return 0.0
        return inf if told.code is None else seconds

    return delay


def asked_too_late(attempts: Iterable[Attempt], delay: Delay = one_proxy) -> list[str]:
    """Requests that reached an account which was to be left alone, though that was known before it was
    chosen. What was under way at that moment is no fault."""
    faults = []
    for mine in by_account(attempts).values():
        told = [attempt for attempt in mine if attempt.away_until > 0]
        for attempt in mine:
            known = (a for a in told if a.known_at + delay(a, attempt) < attempt.not_before)
            ignored = next((a for a in known if attempt.asked_at < a.away_until), None)
            if ignored is not None:
                faults.append(_late(attempt, ignored))
    return faults


def asked_too_often(attempts: Iterable[Attempt], most: int = 3) -> list[str]:
    """Requests that went to more accounts than they may, to one of them twice, or on to another one though
    they had been answered."""
    faults = []
    for request_id, mine in by_request(attempts).items():
        names = [attempt.account for attempt in mine]
        if len(names) > most or len(set(names)) < len(names):
            faults.append(f"{request_id} went to {', '.join(names)}")
        if any(attempt.code is None for attempt in mine[:-1]):
            faults.append(f"{request_id} was answered by {names[0]} and went on to {', '.join(names[1:])}")
    return faults


def failed(attempts: Iterable[Attempt], calls: Iterable[Call]) -> list[str]:
    """Requests that were not answered well, or not by an account; where some account always answers there
    must be none."""
    tried = by_request(attempts)
    faults = []
    for call in calls:
        mine = tried.get(call.request_id, ())
        if call.status != 200:
            faults.append(f"{call.request_id}: {call.status} after {len(mine)} accounts: {call.error[:200]}")
        elif not mine or mine[-1].code is not None:
            faults.append(f"{call.request_id}: 200, but no account said so")
    return faults


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


def summed(scrapes: Iterable[str]) -> Mapping[str, float]:
    """What the scrapes of several processes come to together: `name{labels}` -> value."""
    total: dict[str, float] = {}
    for scrape in scrapes:
        for line in scrape.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                total[name] = total.get(name, 0.0) + float(value)
    return total


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


def _late(attempt: Attempt, ignored: Attempt) -> str:
    seconds = attempt.not_before - ignored.known_at
    return (
        f"{attempt.call.request_id} reached {attempt.account} {seconds:.3f} s after {ignored.code} was known"
    )


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
    found[series(m.REQUESTS, status, MODEL, API)] += 1
    found[series(m.ACCOUNT_REQUESTS, attempt.account, status, API)] += 1
    if kind is None:
        for name, tokens in _TOKENS.items():
            found[series(m.TOKENS, name, MODEL)] += tokens or 0
            found[series(m.ACCOUNT_TOKENS, attempt.account, name, API)] += tokens or 0
        return
    found[series(m.ERRORS, attempt.code or "")] += 1
    found[series(m.ACCOUNT_ERRORS, attempt.account, kind)] += 1
    found[series(m.LB_MARK, _EVENTS[kind], attempt.account)] += 1
    if kind == "auth":
        found[series(m.LB_PERMANENT, attempt.code or "")] += 1
    if not attempt.last:
        found[series(m.RETRIES, API, kind)] += 1
        found[series(m.ACCOUNT_RETRIES, attempt.account, API, kind)] += 1
