from __future__ import annotations

from ledger.quota.cycle import Cycle, Reading, Resets, cycles_of

WEEK = 10_080
RESET = 1_800_000_000
DAY = 86_400


def cycle(at: int, used: float, reset_at: int) -> Cycle:
    """Read so many seconds before RESET."""
    (found,) = cycles_of([Reading((RESET - at) * 1_000_000, used, reset_at, WEEK)])
    return found


OLD = cycle(9_000, 60, RESET)
NEW = cycle(8_000, 1, RESET + DAY)


def test_a_week_that_was_emptied_early_is_one() -> None:
    resets = Resets()
    resets.see("a", OLD, NEW)
    assert (resets.of("a"), resets.of("b")) == (1, 0)


def test_one_that_tells_the_old_week_for_a_while_makes_it_no_more() -> None:
    resets = Resets()
    for number in range(5):
        resets.see("a", OLD, cycle(8_000 - number, 1, RESET + DAY))
        resets.see("a", NEW, cycle(7_000 - number, 60, RESET))
    assert resets.of("a") == 1
    resets.see("a", NEW, cycle(6_000, 0, RESET + 8 * DAY))
    assert resets.of("a") == 2


def test_neither_a_wobble_nor_a_first_look_nor_the_moving_end_of_an_unused_week_is_one() -> None:
    resets = Resets()
    resets.see("a", None, NEW)
    resets.see("a", OLD, cycle(8_000, 60, RESET + 60))
    for number in range(5):
        resets.see(
            "b", cycle(9_000 - number, 0, RESET + number * 300), cycle(8_000, 0, RESET + 300 + number * 300)
        )
    assert (resets.of("a"), resets.of("b")) == (0, 0)


def test_an_account_that_is_gone_begins_again() -> None:
    resets = Resets()
    resets.see("a", OLD, NEW)
    resets.drop("a")
    assert resets.of("a") == 0
    resets.see("a", OLD, NEW)
    assert resets.of("a") == 1
