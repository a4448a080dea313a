from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ledger.quota.running import MAX_PICO, SILENT, UNPRICED, RunningRequests, Sums

moments = st.integers(0, 50)
costs = st.one_of(st.just(UNPRICED), st.just(SILENT), st.integers(0, 10**13))


def plainly(rows: list[tuple[int, int]], start: int, end: int = 10**18) -> Sums:
    counted = [cost for at, cost in rows if start <= at < end]
    priced = [cost for cost in counted if cost >= 0]
    return Sums(sum(priced), len(priced), counted.count(UNPRICED))


class RunningIsCounting(RuleBasedStateMachine):
    """Whatever is added, taken back and asked for: the running sums are those of counting again."""

    def __init__(self) -> None:
        super().__init__()
        self.running, self.rows, self.start = RunningRequests(), list[tuple[int, int]](), 0

    @rule(at=moments, cost=costs)
    def add(self, at: int, cost: int) -> None:
        self.running.add(at, cost)
        self.rows.append((at, cost))

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if self.rows:
            row = data.draw(st.sampled_from(self.rows))
            self.running.remove(*row)
            self.rows.remove(row)

    @rule(start=moments)
    def move(self, start: int) -> None:
        self.start = start

    @invariant()
    def sums_are_those_of_counting(self) -> None:
        assert self.running.since(self.start) == plainly(self.rows, self.start)
        assert len(self.running) == len(self.rows)


TestRunningIsCounting = RunningIsCounting.TestCase


@given(st.lists(st.tuples(moments, costs)), moments, moments)
def test_a_stretch_is_counted_from_its_start_to_before_its_end(
    rows: list[tuple[int, int]], start: int, end: int
) -> None:
    running = RunningRequests()
    for row in rows:
        running.add(*row)
    assert running.between(start, end) == plainly(rows, start, end)
    assert running.any_between(start, end) is any(start <= at < end for at, _ in rows)


def test_a_request_that_failed_is_no_spend_but_it_is_a_request() -> None:
    running = RunningRequests()
    running.add(5, SILENT)
    assert running.since(0) == Sums(0, 0, 0)
    assert running.any_between(5, 6)


def test_dollars_are_exact() -> None:
    running = RunningRequests()
    for at in range(3):
        running.add(at, 100_000_000_001)
    assert running.since(1).usd == Decimal("0.200000000002")


def test_what_was_not_added_cannot_be_taken_back() -> None:
    running = RunningRequests()
    running.add(5, 7)
    with pytest.raises(ValueError, match=r"no request|not in"):
        running.remove(6, 7)
    with pytest.raises(ValueError, match=r"no request|not in"):
        running.remove(4, 7)
    assert len(running) == 1


@pytest.mark.parametrize("cost", [2**63, MAX_PICO + 1, SILENT - 1])
def test_what_cannot_be_a_cost_is_not_half_added(cost: int) -> None:
    running = RunningRequests()
    running.add(5, 7)
    with pytest.raises(ValueError, match="cannot be the cost"):
        running.add(6, cost)
    assert len(running) == 1
    assert running.since(0) == running.between(0, 9) == Sums(7, 1, 0)
