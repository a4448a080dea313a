from __future__ import annotations

import math

from exporter.spend import quota, spend
from ledger.quota.estimate import QuotaEstimate
from ledger.quota.running import Sums
from metrics.exporter import (
    ACCOUNT_COST_7D,
    ACCOUNT_CYCLE_COST,
    ACCOUNT_UNPRICED_7D,
    ESTIMATE_SUPPRESSED,
    IMPLIED_QUOTA_7D,
    USED_DELTA_7D,
)

USD = 10**12
ESTIMATES = {
    "known": QuotaEstimate(Sums(6 * USD, 3, 4), 20.0, 30.0),
    "unused": QuotaEstimate(Sums(0, 0, 0), 0.0, math.nan),
    "elsewhere": QuotaEstimate(Sums(USD, 1, 0), 19.0, None, ("cycle_start_mismatch", "mid_cycle_jump")),
    "no meter": QuotaEstimate(Sums(2 * USD, 1, 0)),
}


def test_every_account_has_its_spend_and_the_count_of_what_has_no_price() -> None:
    cost, _, unpriced = spend(ESTIMATES)
    assert (cost.family, unpriced.family) == (ACCOUNT_CYCLE_COST, ACCOUNT_UNPRICED_7D)
    assert cost.values == {("known",): 6.0, ("unused",): 0.0, ("elsewhere",): 1.0, ("no meter",): 2.0}
    assert unpriced.values == {("known",): 4, ("unused",): 0, ("elsewhere",): 0, ("no meter",): 0}


def test_of_a_suppressed_estimate_no_part_is_told_by_which_it_could_be_computed() -> None:
    _, cost, _ = spend(ESTIMATES)
    used, implied, *_ = quota(ESTIMATES)
    assert cost.family is ACCOUNT_COST_7D
    assert cost.values == {("known",): 6.0, ("unused",): 0.0, ("no meter",): 2.0}
    assert ("elsewhere",) not in {*used.values, *implied.values}


def test_percent_is_told_where_there_is_a_meter() -> None:
    used, *_ = quota(ESTIMATES)
    assert used.family is USED_DELTA_7D
    assert used.values == {("known",): 20.0, ("unused",): 0.0}


def test_a_quota_is_told_or_every_reason_why_not() -> None:
    _, implied, suppressed, *_ = quota(ESTIMATES)
    assert (implied.family, suppressed.family) == (IMPLIED_QUOTA_7D, ESTIMATE_SUPPRESSED)
    assert implied.values.keys() == {("known",), ("unused",)}
    assert implied.values["known",] == 30.0
    assert math.isnan(implied.values["unused",])
    assert suppressed.values == {
        ("elsewhere", "cycle_start_mismatch"): 1.0,
        ("elsewhere", "mid_cycle_jump"): 1.0,
    }
