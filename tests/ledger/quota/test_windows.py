from __future__ import annotations

import pytest

from ledger.quota.capacity import CAPACITIES, remaining_credits
from ledger.quota.cycle import MINUTE, Reading
from ledger.quota.windows import Slot, Window, every_window, length_name, slot_of, source_of, window

NOW = 1_800_000_000_000_000
LATER = 1_800_003_600
PAST = 1_799_999_999


def read(used: float, minutes: int | None, reset_at: int | None = LATER, *, age: int = 0) -> Reading:
    return Reading(NOW - age * MINUTE, used, reset_at, minutes)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        (None, "primary"),
        ("primary", "primary"),
        ("old-primary", "primary"),
        ("SECONDARY", "secondary"),
        ("old-secondary", "secondary"),
        ("monthly", "monthly"),
        ("something new", "primary"),
    ],
)
def test_every_spelling_has_its_plain_form(name: str | None, source: str) -> None:
    assert source_of(name) == source


@pytest.mark.parametrize(
    ("source", "minutes", "slot"),
    [
        ("primary", 300, "primary"),
        ("primary", None, "primary"),
        ("primary", 1_439, "primary"),
        ("primary", 1_440, "secondary"),
        ("primary", 10_080, "secondary"),
        ("secondary", 10_080, "secondary"),
        ("secondary", None, "secondary"),
        ("monthly", 43_200, "secondary"),
    ],
)
def test_a_slot_is_a_duration_and_no_name(source: str, minutes: int | None, slot: Slot) -> None:
    assert slot_of(source, minutes) == slot


def test_both_windows_of_an_account() -> None:
    latest = {"primary": read(30, 300), "secondary": read(12, 10_080)}
    assert window(latest, "primary", NOW) == Window("primary", 30, LATER, 300)
    assert window(latest, "secondary", NOW) == Window("secondary", 12, LATER, 10_080)


def test_an_account_with_nothing_but_a_week_has_no_short_window() -> None:
    latest = {"primary": read(30, 10_080)}
    assert window(latest, "primary", NOW) is None
    assert window(latest, "secondary", NOW) == Window("primary", 30, LATER, 10_080)


@pytest.mark.parametrize(("age", "source"), [(10, "secondary"), (61, "monthly")])
def test_of_two_long_windows_the_week_counts_while_it_is_looked_at(age: int, source: str) -> None:
    latest = {"secondary": read(5, 10_080, age=age), "monthly": read(50, 43_200)}
    found = window(latest, "secondary", NOW)
    assert found is not None
    assert found.source == source


def test_a_window_that_has_ended_is_empty() -> None:
    assert window({"secondary": read(80, 10_080, PAST)}, "secondary", NOW) == Window(
        "secondary", 0.0, PAST, 10_080
    )
    assert window({"secondary": read(80, 10_080, None)}, "secondary", NOW) == Window(
        "secondary", 80, None, 10_080
    )


@pytest.mark.parametrize(("told", "shown"), [(-3, 0), (103.5, 100), (42.5, 42.5)])
def test_percent_is_clamped(told: float, shown: float) -> None:
    found = window({"primary": read(told, 300)}, "primary", NOW)
    assert found is not None
    assert found.used_percent == shown


def test_credits_are_what_is_left_of_the_capacity() -> None:
    assert remaining_credits(CAPACITIES["plus"].secondary, 25) == 5_670
    assert remaining_credits(100, 130) == 0
    assert remaining_credits(100, -1) == 100


def test_a_week_that_moved_to_another_name_stands_as_last_told_under_it() -> None:
    latest = {"secondary": read(2, 10_080, age=3), "primary": read(95, 10_080, LATER + 7)}
    assert window(latest, "secondary", NOW) == Window("primary", 95, LATER + 7, 10_080)
    back = {"secondary": read(2, 10_080), "primary": read(95, 10_080, age=3)}
    assert window(back, "secondary", NOW) == Window("secondary", 2, LATER, 10_080)


def test_every_window_goes_by_its_length_or_by_its_name() -> None:
    latest = {"primary": read(30, 10_080, age=60), "secondary": read(40, 10_080), "monthly": read(5, None)}
    found = every_window(latest, {"codex_bengalfox": read(70, 300)}, NOW)
    assert {name: w.used_percent for name, w in found.items()} == {"7d": 40, "30d": 5, "codex_bengalfox": 70}


def test_a_window_that_was_last_told_a_week_before_another_is_gone() -> None:
    found = every_window({"secondary": read(40, 10_080)}, {"old": read(1, 300, age=8 * 24 * 60)}, NOW)
    assert list(found) == ["7d"]


@pytest.mark.parametrize(
    ("minutes", "name"), [(300, "5h"), (10_080, "7d"), (43_200, "30d"), (90, "90m"), (0, None), (None, None)]
)
def test_a_length_as_people_say_it(minutes: int | None, name: str | None) -> None:
    assert length_name(minutes) == name
