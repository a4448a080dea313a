from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.quota.clean_steps import Step, pico_per_point
from ledger.quota.cycle import MINUTE, Reading, current, cycles_of
from ledger.quota.estimate import QuotaEstimate, QuotaRules, estimate
from ledger.quota.running import UNPRICED, RunningRequests

HOUR = 60 * MINUTE
WEEK = 10_080
USD = 10**12
RESET = 1_800_000_000
START = RESET * 1_000_000 - WEEK * MINUTE
RULES = QuotaRules(method="clean_steps")


def told(percents: list[float], costs: list[int]) -> QuotaEstimate:
    """A meter that is read every hour, and one request in each hour before it (0: none)."""
    requests = RunningRequests()
    readings = [Reading(START + (n + 1) * HOUR, used, RESET, WEEK) for n, used in enumerate(percents)]
    for n, cost in enumerate(costs):
        if cost:
            requests.add(START + n * HOUR + 30 * MINUTE, cost)
    return estimate(current(cycles_of(readings)), requests, START + (len(percents) + 1) * HOUR, RULES)


def test_where_all_use_is_known_it_is_the_ratio_of_the_whole_cycle() -> None:
    found = told([n + 1.0 for n in range(50)], [USD] * 50)
    assert found.usd == pytest.approx(100)
    assert found.reasons == ()


def test_hours_of_use_beyond_the_proxy_are_left_out() -> None:
    costs = [0 if 10 <= n < 25 else USD for n in range(50)]
    found = told([n + 1.0 for n in range(50)], costs)
    assert found.usd == pytest.approx(100, rel=0.05)
    assert found.used_percent == 50
    assert found.sums.pico == 35 * USD


def test_so_is_what_was_used_before_the_first_reading() -> None:
    percents = [20.0 + n for n in range(30)]
    assert told(percents, [0, *([USD] * 29)]).usd == pytest.approx(100, rel=0.05)


def test_where_hardly_anything_is_explained_nothing_is_said() -> None:
    costs = [USD if n < 4 else 0 for n in range(50)]
    found = told([n + 1.0 for n in range(50)], costs)
    assert (found.usd, found.reasons) == (None, ("unsteady_ratio",))


@pytest.mark.parametrize("costs", [[], [UNPRICED, UNPRICED, UNPRICED]])
def test_without_priced_requests_nothing_is_said(costs: list[int]) -> None:
    assert told([2.0, 4.0, 9.0], costs).reasons == ("no_priced_usage",)


def test_a_few_points_are_too_few_to_tell() -> None:
    assert told([1.0, 2.0], [USD, USD]).reasons == ("unsteady_ratio",)


def test_no_steps_and_free_steps_tell_nothing() -> None:
    assert pico_per_point([]) is None
    assert pico_per_point([Step(10, 0), Step(10, 0)]) is None


@given(
    st.lists(st.integers(0, 3), min_size=12, max_size=60),
    st.integers(1, 10**13),
    st.lists(st.integers(0, 59), max_size=10),
)
def test_it_is_never_above_the_truth_by_more_than_rounding(
    rises: list[int], per_point: int, beyond: list[int]
) -> None:
    """Every point costs the same, some hours are beyond the proxy: leaving hours out never overshoots."""
    percents = [min(100.0, float(sum(rises[: n + 1]))) for n in range(len(rises))]
    before = [0.0, *percents]
    costs = [0 if n in beyond else round((used - before[n]) * per_point) for n, used in enumerate(percents)]
    found = told(percents, costs)
    if found.usd is not None and found.used_percent:
        assert found.usd <= per_point / USD * 100 * (1 + 1e-9)
