"""Bounded label values: known ones, then a cap, then `other`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.observers.metrics_observer import OTHER, BoundedLabel

WORDS = st.lists(st.text(max_size=4), max_size=60)


def test_known_values_need_no_room() -> None:
    label = BoundedLabel(0, ["gpt-5.4"])
    assert [label("gpt-5.4"), label("x"), label("gpt-5.4")] == ["gpt-5.4", OTHER, "gpt-5.4"]


def test_who_came_first_keeps_its_place() -> None:
    label = BoundedLabel(2)
    assert [label(value) for value in "abcabc"] == ["a", "b", OTHER, "a", "b", OTHER]


@given(WORDS, st.integers(0, 10), st.sets(st.text(max_size=4), max_size=5))
def test_there_are_never_more_values_than_known_room_and_other(
    values: list[str], most: int, known: set[str]
) -> None:
    label = BoundedLabel(most, known)
    seen = [label(value) for value in values]
    assert len(set(seen) - known - {OTHER}) <= most
    assert all(out in (value, OTHER) for value, out in zip(values, seen, strict=True))
    assert [label(value) for value in values if value in known] == [v for v in values if v in known]


def test_a_flood_leaves_nothing_behind() -> None:
    label = BoundedLabel(100)
    assert len({label(f"junk-{number}") for number in range(100_000)}) == 101
