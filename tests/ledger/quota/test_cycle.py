from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.quota.cycle import (
    GAP,
    MAX_CYCLES,
    MINUTE,
    Cycle,
    Point,
    Reading,
    Run,
    current,
    cycles_of,
    merged,
)

WEEK = 10_080
RESET = 1_800_000_000
HOUR = 60 * MINUTE
START = RESET * 1_000_000 - WEEK * MINUTE


def read(hours: float, used: float, reset_at: int | None = RESET, minutes: int | None = WEEK) -> Reading:
    """A reading so many hours after the cycle began."""
    return Reading(START + round(hours * HOUR), used, reset_at, minutes)


def only(readings: Sequence[Reading]) -> Cycle:
    (cycle,) = cycles_of(readings)
    return cycle


readings = st.builds(
    read,
    st.integers(0, 168 * 4).map(lambda quarter: quarter / 4),
    st.integers(0, 100),
    st.sampled_from([RESET, RESET + 30, RESET + 60, RESET + 200, RESET - 90_000]),
)


def test_a_cycle_begins_a_window_before_its_reset() -> None:
    assert only([read(1, 2), read(5, 6)]).start == START


def test_readings_that_follow_closely_are_one_run() -> None:
    cycle = only([read(1, 1), read(2, 2), read(4.9, 3), read(7.9, 4)])
    assert cycle.runs == (
        Run(Point(read(1, 1).at, 1), Point(read(4.9, 3).at, 3)),
        Run(Point(read(7.9, 4).at, 4), Point(read(7.9, 4).at, 4)),
    )
    assert cycle.first == (read(1, 1).at, 1)


def test_each_whole_percent_is_remembered_from_when_it_was_first_seen() -> None:
    cycle = only([read(3, 7.9), read(1, 2), read(2, 7.2)])
    assert cycle.reached == ((2, read(1, 2).at), (7, read(2, 7.2).at))
    assert [cycle.used_at(read(h, 0).at) for h in (0.5, 1, 2.5)] == [None, 2.0, 7.0]


def test_reset_times_that_wobble_are_one_cycle_and_others_are_not() -> None:
    wobbling = [read(1, 1, RESET), read(2, 2, RESET - 60), read(3, 3, RESET + 60)]
    (cycle,) = cycles_of(wobbling)
    assert (cycle.low, cycle.high) == (RESET - 60, RESET + 60)
    assert len(cycles_of([*wobbling, read(4, 4, RESET + 121)])) == 2


def test_the_current_cycle_is_that_of_the_newest_reading() -> None:
    cycles = cycles_of([read(5, 50, RESET), read(6, 1, RESET - 3_600)])  # a provider may reset early
    found = current(cycles)
    assert found is not None
    assert found.high == RESET - 3_600
    assert current(()) is None


@pytest.mark.parametrize("unknown", [read(1, 5, None), read(1, 5, RESET, None)])
def test_a_reading_without_reset_or_window_belongs_to_no_cycle(unknown: Reading) -> None:
    assert cycles_of([unknown]) == ()


@given(st.lists(readings, max_size=40), st.randoms())
def test_the_order_of_readings_plays_no_part(found: list[Reading], random: object) -> None:
    mixed = list(found)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert cycles_of(mixed) == cycles_of(found)


@given(st.lists(st.lists(readings, max_size=12), max_size=5))
def test_cycles_of_parts_merge_into_those_of_the_whole(parts: list[list[Reading]]) -> None:
    together: tuple[Cycle, ...] = ()
    for part in parts:
        together = merged(together, cycles_of(part))
    assert together == cycles_of([reading for part in parts for reading in part])


@given(st.lists(readings, max_size=40))
def test_a_run_has_no_gap_and_runs_have_one_between_them(found: list[Reading]) -> None:
    for cycle in cycles_of(found):
        for before, after in pairwise(cycle.runs):
            assert after.first.at - before.last.at >= GAP
        assert cycle.runs[-1].last.at == cycle.newest.at


def test_a_meter_that_moves_its_reset_with_every_reading_does_not_fill_the_memory() -> None:
    kept: tuple[Cycle, ...] = ()
    for hour in range(100):
        kept = merged(kept, cycles_of([read(hour, 0, RESET + hour * 3_600)]))
    assert len(kept) == MAX_CYCLES
    newest = current(kept)
    assert newest is not None
    assert newest.high == RESET + 99 * 3_600


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), min_size=1), st.integers(1, 12))
def test_a_fall_is_seen_wherever_it_was(points: list[tuple[int, int]], fall: int) -> None:
    cycle = only([read(*point) for point in points])
    plainly = any(high - low >= fall and before < after for before, high in points for after, low in points)
    assert cycle.fell(fall) is plainly


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 30)), min_size=2), st.integers(1, 12), st.data())
def test_a_fall_is_seen_from_parts_too(points: list[tuple[int, int]], fall: int, data: st.DataObject) -> None:
    readings = data.draw(st.permutations([read(*point) for point in points]))
    cut = data.draw(st.integers(0, len(readings)))
    (whole,) = merged(cycles_of(readings[:cut]), cycles_of(readings[cut:]))
    assert whole.fell(fall) is only(readings).fell(fall)
