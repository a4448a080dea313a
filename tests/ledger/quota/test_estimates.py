from __future__ import annotations

import pytest

from ledger.quota.cycle import MINUTE, Cycle, Reading, current, cycles_of
from ledger.quota.estimate import Estimates, QuotaRules, estimate
from ledger.quota.running import RunningRequests

HOUR = 60 * MINUTE
USD = 10**12
RESET = 1_800_000_000
RULES = QuotaRules()


def cycle_of(used: float, minutes: int) -> Cycle:
    start = RESET * 1_000_000 - minutes * MINUTE
    found = current(cycles_of([Reading(start + HOUR // 2, used, RESET, minutes)]))
    assert found is not None
    return found


@pytest.mark.parametrize("minutes", [10_080, 43_200])
def test_whatever_changes_is_in_the_next_answer(minutes: int) -> None:
    start = RESET * 1_000_000 - minutes * MINUTE
    estimates, requests = Estimates(RULES), RunningRequests()
    cycle = cycle_of(10, minutes)
    for hours in range(0, minutes // 60 + 30, 5):  # until after the end of the window
        now = start + hours * HOUR
        if hours % 15 == 0:
            requests.add(now, USD)
        if hours % 35 == 0:
            cycle = cycle_of(10 + hours % 80, minutes)
        found = estimates.of("one", cycle, requests, now)
        assert repr(found) == repr(estimate(cycle, requests, now, RULES)), hours


def test_accounts_are_kept_apart() -> None:
    estimates, rich, poor = Estimates(RULES), RunningRequests(), RunningRequests()
    cycle = cycle_of(10, 10_080)
    now = cycle.start + HOUR
    rich.add(now, 5 * USD)
    poor.add(now, USD)
    for _ in range(2):
        assert estimates.of("rich", cycle, rich, now).usd == 50
        assert estimates.of("poor", cycle, poor, now).usd == 10


def test_what_has_not_changed_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    estimates, requests, cycle = Estimates(RULES), RunningRequests(), cycle_of(10, 10_080)
    first = estimates.of("one", cycle, requests, cycle.start + HOUR)
    monkeypatch.setattr("ledger.quota.estimate.estimate", None)
    assert estimates.of("one", cycle, requests, cycle.start + 2 * HOUR) is first
