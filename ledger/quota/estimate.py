"""How much an account's week is worth, and when not to say so.

    implied quota = spend since the cycle began / (percent used / 100)

The meter counts all use of the account, the ledger only what went through the proxy. Where the meter has
moved and no request explains it, the ratio would be too low, and is not given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from ledger.quota.clean_steps import pico_per_point, rising, steps
from ledger.quota.cycle import GAP, MINUTE, Cycle
from ledger.quota.running import PICO_PER_USD, Requests, RunningRequests, Sums

PERIOD = 7 * 24 * 60 * MINUTE
"""Nothing older than seven days is counted. Microseconds, as all times here."""

LATE = 10 * MINUTE
"""How long after a request the window may still rise for it."""

FELL_POINTS = 5
"""A meter that stood so many percentage points higher in its cycle was emptied before the cycle's end, and no
longer shows what was used since the start."""

Reason = Literal[
    "cycle_start_mismatch",
    "mid_cycle_jump",
    "no_priced_usage",
    "unsteady_ratio",
    "meter_fell",
    "unknown_cycle",
]
Method = Literal["whole_cycle", "clean_steps"]


@dataclass(frozen=True, slots=True)
class QuotaRules:
    """When an estimate is given.

    Attributes:
        grace: how late the first reading of a cycle may be, in microseconds: restarts, late polls.
        start_percent: a first reading below this is no sign of other use.
        jump_percent, gap: a rise of so many percentage points over a gap of so many microseconds, without
            any request in it, is use beyond the proxy.
        method: `whole_cycle` divides the cycle's spend by its percent; `clean_steps` leaves out the
            stretches that no spend explains (see docs/quota.md).
    """

    grace: int = 60 * MINUTE
    start_percent: float = 5.0
    jump_percent: float = 5.0
    gap: int = GAP
    method: Method = "whole_cycle"

    @classmethod
    def configured(cls, *, start_grace_minutes: float, jump_gap_minutes: float, **others: Any) -> QuotaRules:
        """Of the names and units of the section `[quota]` of a configuration."""
        return cls(round(start_grace_minutes * MINUTE), gap=round(jump_gap_minutes * MINUTE), **others)


@dataclass(frozen=True, slots=True)
class QuotaEstimate:
    """What one account has spent and used since its cycle began, at most seven days ago.

    Attributes:
        sums: of the requests of that time.
        used_percent: percentage points used in that time; None where no weekly meter is known.
        usd: the implied quota in US dollars; NaN where nothing is used yet; None where it is suppressed
            or where no meter is known.
        reasons: why it is suppressed.
        unexplained: of `used_percent`, the points that rose while no request was made here.
    """

    sums: Sums
    used_percent: float | None = None
    usd: float | None = None
    reasons: tuple[Reason, ...] = ()
    unexplained: float | None = None


def estimate(
    cycle: Cycle | None,
    requests: Requests,
    now: int,
    rules: QuotaRules = QuotaRules(),
    *,
    metered: bool = False,
) -> QuotaEstimate:
    """The estimate of one account.

    Args:
        cycle: of its weekly meter; None where no reading tells one.
        requests: its requests of at least the last seven days.
        now: microseconds since 1970.
        metered: whether it has a weekly meter, also one that does not tell when its cycle ends.
    """
    if cycle is None:
        return QuotaEstimate(requests.since(now - PERIOD), reasons=("unknown_cycle",) if metered else ())
    if cycle.high * 1_000_000 <= now:  # the window has ended, and nobody has read the next one yet
        ended = requests.since(max(cycle.high * 1_000_000, now - PERIOD))
        return QuotaEstimate(ended, 0.0, math.nan, unexplained=0.0)
    start = max(cycle.start, now - PERIOD)
    sums, used = requests.since(start), used_percent(cycle, start)
    if used == 0:
        return QuotaEstimate(sums, used, math.nan, unexplained=0.0)
    beside = min(used, unexplained(cycle, requests, start))
    if rules.method == "clean_steps":
        return _by_clean_steps(cycle, requests, start, QuotaEstimate(sums, used, unexplained=beside))
    reasons = suppressed(cycle, requests, start, rules)
    if not sums.pico:
        reasons = (*reasons, "no_priced_usage")
    return QuotaEstimate(sums, used, None if reasons else float(sums.usd) / used * 100, reasons, beside)


def unexplained(cycle: Cycle, requests: Requests, start: int) -> float:
    """Percentage points that the window rose by since `start` while no request was made. A request may show
    late: one shortly before counts, too, but none of before the start."""
    earlier = cycle.start < start
    before, percent, found = start, (cycle.used_at(start) or 0.0) if earlier else 0.0, 0.0
    for at, reached in rising(cycle, start if earlier else 0):
        if reached > percent:
            explained = requests.any_between(max(start, before - LATE), at)
            found += 0.0 if explained else reached - percent
            before, percent = at, reached
    return found


def _by_clean_steps(cycle: Cycle, requests: Requests, start: int, known: QuotaEstimate) -> QuotaEstimate:
    if not known.sums.pico:
        return replace(known, reasons=("no_priced_usage",))
    pico = pico_per_point(steps(cycle, requests, start))
    if pico is None:
        return replace(known, reasons=("unsteady_ratio",))
    return replace(known, usd=pico / PICO_PER_USD * 100)


def used_percent(cycle: Cycle, start: int) -> float:
    """Percentage points used since `start`: all of the newest reading, unless the cycle began earlier."""
    used = min(100.0, max(0.0, cycle.newest.used))
    return used if cycle.start >= start else max(0.0, used - (cycle.used_at(start) or 0.0))


def suppressed(cycle: Cycle, requests: Requests, start: int, rules: QuotaRules) -> tuple[Reason, ...]:
    """Why the percent used since `start` is not explained by the requests."""
    reasons: tuple[Reason, ...] = ()
    if _start_mismatch(cycle, requests, start, rules):
        reasons = ("cycle_start_mismatch",)
    if any(_jump(*pair, requests, start, rules) for pair in _gaps(cycle)):
        reasons = (*reasons, "mid_cycle_jump")
    if cycle.fell(FELL_POINTS):
        reasons = (*reasons, "meter_fell")
    return reasons


def _start_mismatch(cycle: Cycle, requests: Requests, start: int, rules: QuotaRules) -> bool:
    """The first reading came late and was high already, and no request was made before it; or the cycle
    is longer than the period, and what was used before the period is not known."""
    first = cycle.first
    if first.used < rules.start_percent:
        return False
    if cycle.start < start:
        return first.at > start
    return first.at - start > rules.grace and not requests.any_between(start, first.at)


def _gaps(cycle: Cycle) -> list[tuple[tuple[int, float], tuple[int, float]]]:
    """Readings with a gap between them; all others follow each other more closely."""
    return [(before.last, after.first) for before, after in pairwise(cycle.runs)]


def _jump(
    before: tuple[int, float], after: tuple[int, float], requests: Requests, start: int, rules: QuotaRules
) -> bool:
    """The meter rose over a gap in which no request was made."""
    return (
        after[0] > start
        and after[1] - before[1] >= rules.jump_percent
        and not requests.any_between(before[0], after[0])
    )


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
