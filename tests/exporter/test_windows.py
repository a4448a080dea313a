from __future__ import annotations

import pytest

from exporter.source import Usage
from exporter.windows import windows
from ledger.quota.capacity import Capacity
from ledger.quota.windows import Window
from ledger.reader.meters import Shown
from ledger.requests.queries import Account
from metrics.exporter import (
    PRIMARY_CREDITS,
    PRIMARY_RESET,
    PRIMARY_USED,
    PRIMARY_WINDOW,
    SECONDARY_CREDITS,
    SECONDARY_RESET,
    SECONDARY_RESETS,
    SECONDARY_USED,
    SECONDARY_WINDOW,
    WINDOW_RESET,
    WINDOW_USED,
)
from metrics.family import MetricFamily

CAPACITIES = {"plus": Capacity(200, 8_000)}
SHORT, WEEK = Window("primary", 25, 1_800_000_000, 300), Window("secondary", 50, 1_800_500_000, 10_080)


def told(shown: Shown, plan: str = "plus", resets: int = 0) -> dict[MetricFamily, float]:
    """What is said of one account."""
    usage = Usage(Account("one", "", plan, "active"), shown, resets)
    return {s.family: s.values["one",] for s in windows([usage], CAPACITIES) if s.values}


def test_all_of_an_account_with_both_windows() -> None:
    assert told(Shown(SHORT, WEEK), resets=3) == {
        PRIMARY_USED: 25,
        PRIMARY_RESET: 1_800_000_000,
        PRIMARY_WINDOW: 300,
        PRIMARY_CREDITS: 150,
        SECONDARY_USED: 50,
        SECONDARY_RESET: 1_800_500_000,
        SECONDARY_WINDOW: 10_080,
        SECONDARY_CREDITS: 4_000,
        SECONDARY_RESETS: 3,
    }


def test_what_is_not_known_has_no_value() -> None:
    assert told(Shown()) == {SECONDARY_RESETS: 0}
    assert told(Shown(None, Window("primary", 7, None, None))) == {
        SECONDARY_USED: 7,
        SECONDARY_CREDITS: 7_440,
        SECONDARY_RESETS: 0,
    }


@pytest.mark.parametrize("plan", ["unknown", "platinum"])
def test_a_plan_without_a_known_capacity_has_no_credits(plan: str) -> None:
    assert {PRIMARY_CREDITS, SECONDARY_CREDITS}.isdisjoint(told(Shown(SHORT, WEEK), plan))


def test_a_capacity_counts_for_the_window_that_it_is_of() -> None:
    month = Window("monthly", 50, 1_802_000_000, 43_200)
    assert SECONDARY_CREDITS not in told(Shown(SHORT, month))


def test_every_window_goes_by_its_length_or_its_name() -> None:
    bucket = Window("codex_bengalfox", 70, 1_800_000_500, 300)
    shown = Shown(SHORT, WEEK, every={"5h": SHORT, "7d": WEEK, "codex_bengalfox": bucket})
    found = {s.family: s.values for s in windows([Usage(Account("one", "", "plus", "active"), shown, 0)], {})}
    assert found[WINDOW_USED] == {
        ("one", "5h"): 25,
        ("one", "7d"): 50,
        ("one", "codex_bengalfox"): 70,
    }
    assert found[WINDOW_RESET]["one", "codex_bengalfox"] == 1_800_000_500
