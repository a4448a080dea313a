"""The estimate: two accounts that operators know, and what holds for every account."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ledger.quota.cycle import MINUTE, Cycle, Reading, current, cycles_of, merged
from ledger.quota.estimate import PERIOD, QuotaEstimate, QuotaRules, estimate
from ledger.quota.running import SILENT, UNPRICED, RunningRequests

HOUR = 60 * MINUTE
WEEK = 10_080
USD = 10**12
RESET = 1_800_000_000
START = RESET * 1_000_000 - WEEK * MINUTE
NOW = START + 100 * HOUR
RULES = QuotaRules()
Row = tuple[float, int]
"""Hours since the cycle began, and cost."""


def read(hours: float, used: float, reset_at: int = RESET, minutes: int = WEEK) -> Reading:
    return Reading(START + round(hours * HOUR), used, reset_at, minutes)


def requests(rows: Sequence[Row]) -> RunningRequests:
    found = RunningRequests()
    for hours, cost in rows:
        found.add(START + round(hours * HOUR), cost)
    return found


def told(
    readings: Sequence[Reading], rows: Sequence[Row], now: int = NOW, rules: QuotaRules = RULES
) -> QuotaEstimate:
    cycle = current(cycles_of(readings, gap=rules.gap))
    return estimate(cycle, requests(rows), now, rules)


class TestWorkedAccounts:
    def test_one_whose_requests_cover_the_meter_is_extrapolated(self) -> None:
        hours = range(1, 61)
        found = told([read(h, h) for h in hours], [(h - 0.5, USD // 5) for h in hours])
        assert found.used_percent == 60
        assert found.usd == pytest.approx(12 / 0.60)
        assert found.reasons == ()

    def test_one_that_was_first_seen_at_18_percent_without_a_request_is_suppressed(self) -> None:
        found = told([read(20, 18), read(21, 19)], [(20.5, USD)])
        assert found.usd is None
        assert found.reasons == ("cycle_start_mismatch",)
        assert (found.sums.pico, found.used_percent) == (USD, 19)


class TestCycleStart:
    LATE = (read(20, 18), read(21, 19))

    @pytest.mark.parametrize("cost", [USD, UNPRICED, SILENT])
    def test_any_request_before_the_first_reading_explains_it(self, cost: int) -> None:
        assert told(self.LATE, [(3, cost), (20.5, USD)]).reasons == ()

    def test_a_request_before_the_cycle_explains_nothing(self) -> None:
        assert told(self.LATE, [(-0.1, USD), (20.5, USD)]).reasons == ("cycle_start_mismatch",)

    def test_nor_does_one_at_the_reading_itself(self) -> None:
        assert told(self.LATE, [(20, USD)]).reasons == ("cycle_start_mismatch",)

    @pytest.mark.parametrize(("hours", "suppressed"), [(1.0, False), (1.01, True)])
    def test_the_first_reading_may_be_an_hour_late(self, hours: float, suppressed: bool) -> None:
        found = told([read(hours, 18), read(hours + 1, 19)], [(hours + 0.5, USD)])
        assert bool(found.reasons) is suppressed

    @pytest.mark.parametrize(("used", "suppressed"), [(4.9, False), (5, True)])
    def test_a_few_percent_are_no_sign(self, used: float, suppressed: bool) -> None:
        assert bool(told([read(20, used)], [(20.5, USD)]).reasons) is suppressed


class TestJump:
    def test_a_rise_over_a_gap_without_requests_is_suppressed(self) -> None:
        found = told([read(0.5, 1), read(10, 2), read(13, 7)], [(0.2, USD), (5, USD), (13.5, USD)])
        assert found.reasons == ("mid_cycle_jump",)
        assert found.usd is None

    @pytest.mark.parametrize(
        ("before", "after", "row"),
        [
            (read(10, 2), read(12.9, 7), (13.5, USD)),  # the gap is too short
            (read(10, 2), read(13, 6.9), (13.5, USD)),  # the rise is too small
            (read(10, 2), read(13, 7), (11, SILENT)),  # a request, though it failed
            (read(10, 2), read(13, 7), (10, USD)),  # a request as the gap begins
        ],
    )
    def test_what_is_explained_or_small_is_not(self, before: Reading, after: Reading, row: Row) -> None:
        assert told([read(0.5, 1), before, after], [(0.2, USD), (5, USD), row]).reasons == ()

    def test_a_request_as_the_gap_ends_does_not_explain_it(self) -> None:
        rows = [(0.2, USD), (5, USD), (13, USD)]
        assert told([read(0.5, 1), read(10, 2), read(13, 7)], rows).reasons == ("mid_cycle_jump",)

    def test_both_reasons_are_told(self) -> None:
        found = told([read(20, 10), read(30, 20)], [(31, USD)])
        assert found.reasons == ("cycle_start_mismatch", "mid_cycle_jump")


class TestNothingToSay:
    def test_at_0_percent_it_is_no_number(self) -> None:
        found = told([read(1, 0)], [(0.5, USD)])
        assert found.used_percent == 0
        assert found.usd is not None
        assert math.isnan(found.usd)

    @pytest.mark.parametrize("rows", [[], [(1, UNPRICED)], [(1, SILENT)], [(1, 0)], [(-1, USD)]])
    def test_without_priced_requests_it_would_be_zero_dollars(self, rows: list[Row]) -> None:
        found = told([read(0.5, 1), read(2, 3)], rows)
        assert found.usd is None
        assert found.reasons == ("no_priced_usage",)

    def test_requests_without_a_price_are_counted_and_suppress_nothing(self) -> None:
        found = told([read(0.5, 1), read(2, 10)], [(0.2, USD), (1, UNPRICED), (1.5, UNPRICED)])
        assert found.sums.unpriced == 2
        assert found.usd == pytest.approx(10)

    def test_without_a_meter_the_last_seven_days_are_summed(self) -> None:
        rows = [(-68.1, USD), (-67.9, 2 * USD), (99, 4 * USD)]  # 100 h less 168 h
        found = told([], rows)
        assert found == QuotaEstimate(found.sums)
        assert found.sums.pico == 6 * USD

    def test_a_window_that_has_ended_begins_anew(self) -> None:
        found = told([read(100, 70)], [(100, USD), (169, 2 * USD)], now=START + 170 * HOUR)
        assert found.sums.pico == 2 * USD
        assert found.used_percent == 0
        assert found.usd is not None
        assert math.isnan(found.usd)


class TestLongWindows:
    """A window of thirty days, of which the last seven count."""

    MONTH = 43_200
    NOW = START + 20 * 24 * HOUR

    def month(self, day: float, used: float) -> Reading:
        return read(day * 24, used, START // 1_000_000 + self.MONTH * 60, self.MONTH)

    def test_spend_and_percent_are_both_those_of_seven_days(self) -> None:
        readings = [self.month(day, 2 * day) for day in range(20)]
        found = told(readings, [(day * 24 + 1.0, USD) for day in range(20)], now=self.NOW)
        assert found.sums.pico == 7 * USD
        assert found.used_percent == 38 - 26
        assert found.usd == pytest.approx(7 / 0.12)

    def test_without_a_reading_before_them_they_cannot_be_told_apart(self) -> None:
        readings = [self.month(day, 2 * day) for day in range(14, 20)]
        found = told(readings, [(day * 24 + 1.0, USD) for day in range(20)], now=self.NOW)
        assert found.reasons == ("cycle_start_mismatch",)


# What holds for every account

quarters = st.integers(0, 99 * 4).map(lambda quarter: quarter / 4)
percents = st.integers(0, 100)
meters = st.lists(st.tuples(quarters, percents), min_size=1, max_size=25)
logs = st.lists(
    st.tuples(quarters, st.one_of(st.integers(0, 5 * USD), st.just(UNPRICED), st.just(SILENT))), max_size=25
)


def same(one: QuotaEstimate, other: QuotaEstimate) -> bool:
    """Equal, with NaN equal to itself."""
    if one.usd is not None and other.usd is not None and math.isnan(one.usd) and math.isnan(other.usd):
        return replace(one, usd=None) == replace(other, usd=None)
    return one == other


def plainly_suppressed(points: Sequence[tuple[float, float]], rows: Sequence[Row]) -> set[str]:
    """The two rules word for word, over the whole list of readings."""
    points = sorted(points)
    first_hours, first_used = points[0]
    found = set()
    if first_hours > 1 and first_used >= 5 and not any(0 <= at < first_hours for at, _ in rows):
        found.add("cycle_start_mismatch")
    for (before, low), (after, high) in pairwise(points):
        if after - before >= 3 and high - low >= 5 and not any(before <= at < after for at, _ in rows):
            found.add("mid_cycle_jump")
    if any(high - low >= 5 and before < after for before, high in points for after, low in points):
        found.add("meter_fell")
    return found


@given(meters, logs)
def test_an_estimate_never_appears_when_a_rule_holds(
    points: list[tuple[float, int]], rows: list[Row]
) -> None:
    found = told([read(*point) for point in points], rows)
    used = max(points)[1]
    if used > 0:
        rules = plainly_suppressed(points, rows)
        assert rules == set(found.reasons) - {"no_priced_usage"}
        assert (found.usd is None) is bool(found.reasons)
    if found.usd is not None and not math.isnan(found.usd):
        spent = sum(cost for at, cost in rows if cost > 0)
        assert found.usd == pytest.approx(spent / USD / used * 100)


@given(meters, logs, st.randoms(), st.integers(0, 25), st.integers(0, 25))
def test_splitting_or_permuting_changes_nothing(
    points: list[tuple[float, int]], rows: list[Row], random: object, at: int, cut: int
) -> None:
    readings = [read(*point) for point in points]
    expected = told(readings, rows)
    mixed_readings, mixed_rows = list(readings), list(rows)
    random.shuffle(mixed_readings)  # type: ignore[attr-defined]
    random.shuffle(mixed_rows)  # type: ignore[attr-defined]
    halves = merged(cycles_of(mixed_readings[:at]), cycles_of(mixed_readings[at:]))
    split = [
        part
        for hours, cost in mixed_rows
        for part in ([(hours, cost // 3), (hours, cost - cost // 3)] if cost > 1 else [(hours, cost)])
    ]
    found = estimate(current(halves), requests(split[cut:] + split[:cut]), NOW, RULES)
    assert same(replace(found, sums=expected.sums), expected)
    assert (found.sums.pico, found.sums.unpriced) == (expected.sums.pico, expected.sums.unpriced)


@given(meters, logs, st.data())
def test_reset_times_that_wobble_by_half_a_minute_change_nothing(
    points: list[tuple[float, int]], rows: list[Row], data: st.DataObject
) -> None:
    assume(min(points)[0] != 1)  # at the very edge of the grace of an hour
    rows = [(hours + 0.02, cost) for hours, cost in rows]  # no request within a minute of the reset itself
    jitters = data.draw(st.lists(st.integers(-30, 30), min_size=len(points), max_size=len(points)))
    wobbling = [read(*point, RESET + jitter) for point, jitter in zip(points, jitters, strict=True)]
    assert same(told(wobbling, rows), told([read(*point) for point in points], rows))


@given(meters, logs, st.integers(0, 40))
def test_running_sums_that_were_asked_before_answer_the_same(
    points: list[tuple[float, int]], rows: list[Row], hours: int
) -> None:
    cycle: Cycle | None = current(cycles_of([read(*point) for point in points]))
    running = requests(rows)
    estimate(None, running, NOW - hours * HOUR, RULES)
    running.since(START + hours * HOUR)
    assert same(estimate(cycle, running, NOW, RULES), estimate(cycle, requests(rows), NOW, RULES))


@pytest.mark.parametrize(
    ("change", "readings", "rows"),
    [
        ({"grace": 30 * HOUR}, [read(20, 18)], [(20.5, USD)]),
        ({"start_percent": 20.0}, [read(20, 18)], [(20.5, USD)]),
        ({"jump_percent": 9.0}, [read(0.5, 1), read(13, 9)], [(0.2, USD), (13.5, USD)]),
        ({"gap": 13 * HOUR}, [read(0.5, 1), read(13, 9)], [(0.2, USD), (13.5, USD)]),
    ],
)
def test_every_threshold_can_be_set(
    change: dict[str, float], readings: list[Reading], rows: list[Row]
) -> None:
    assert told(readings, rows).usd is None
    assert told(readings, rows, rules=replace(RULES, **change)).usd is not None  # type: ignore[arg-type]


def test_the_period_is_seven_days() -> None:
    assert PERIOD == 7 * 24 * HOUR


class TestMeterFell:
    """The provider emptied all meters in the middle of the week, and left its end where it was."""

    EMPTIED = (read(0.5, 1), read(20, 40), read(40, 80), read(41, 2))
    ROWS: Sequence[Row] = tuple((hours + 0.1, USD // 4) for hours in range(40))

    def test_what_was_spent_is_not_divided_by_what_is_left_of_the_percent(self) -> None:
        found = told(self.EMPTIED, self.ROWS)
        assert (found.usd, found.reasons) == (None, ("meter_fell",))
        assert found.used_percent == 2

    def test_nor_when_it_has_risen_above_where_it_was(self) -> None:
        assert told([*self.EMPTIED, read(90, 85)], [*self.ROWS, (60, USD)]).reasons == ("meter_fell",)

    @pytest.mark.parametrize(("fall", "reasons"), [(4, ()), (5, ("meter_fell",))])
    def test_a_few_points_are_rounding(self, fall: int, reasons: tuple[str, ...]) -> None:
        assert told([read(0.5, 1), read(20, 40), read(21, 40 - fall)], self.ROWS).reasons == reasons

    def test_the_next_week_is_another_one(self) -> None:
        later = [read(100, 1, RESET + 86_400), read(101, 2, RESET + 86_400)]
        found = told([*self.EMPTIED[:3], *later], [(99.5, USD)], now=START + 102 * HOUR)
        assert found.reasons == ()

    def test_clean_steps_go_by_the_rise_alone(self) -> None:
        hours = range(1, 81)
        rising = [read(h / 2, h) for h in hours]
        rows = [(h / 2 - 0.1, USD // 8) for h in hours]
        found = told([*rising, read(41, 2)], rows, rules=replace(RULES, method="clean_steps"))
        assert found.usd == pytest.approx(12.5, rel=0.05)


def test_a_meter_that_tells_no_cycle_says_why_there_is_no_estimate() -> None:
    rows = requests([(99, USD)])
    assert estimate(None, rows, NOW, RULES, metered=True).reasons == ("unknown_cycle",)
    assert estimate(None, rows, NOW, RULES).reasons == ()


class TestUnexplained:
    def test_what_rose_without_a_request_is_told_whether_or_not_it_is_suppressed(self) -> None:
        found = told([read(1, 2), read(20, 18), read(21, 19)], [(0.5, USD), (20.5, USD)])
        assert (found.unexplained, found.reasons) == (16, ("mid_cycle_jump",))

    def test_a_request_may_show_ten_minutes_late(self) -> None:
        assert told([read(1, 2), read(2, 3)], [(0.9, USD)]).unexplained == 0
        assert told([read(1, 2), read(2, 3)], [(0.8, USD)]).unexplained == 1

    def test_nothing_of_an_unused_week_is(self) -> None:
        assert told([read(1, 0)], []).unexplained == 0

    @given(st.lists(st.tuples(st.floats(0.1, 90), st.integers(0, 100)), min_size=1, max_size=8))
    def test_it_is_all_without_requests_and_never_more_than_was_used(
        self, seen: list[tuple[float, int]]
    ) -> None:
        rising = [
            read(hours, used)
            for (hours, _), used in zip(sorted(seen), sorted(u for _, u in seen), strict=True)
        ]
        found = told(rising, [])
        assert found.unexplained == found.used_percent
