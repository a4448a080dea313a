"""One key's share of its budget in one process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast

from ledger.accounts.allowances import HOLD_SECONDS, Allowance, Charge, Limits
from proxy.relay.access import Key
from proxy.relay.allowance import DECAY, IDLE_SECONDS, MAX_MODELS, KeyAllowance, Payer, Reservation
from proxy.relay.charge import Ask

NOW = datetime(2026, 11, 27, 15, tzinfo=UTC)
AT = NOW.timestamp()
TODAY = "2026-11-27"


def holding(booked: int, held: int | None = None, today: int = 0) -> KeyAllowance:
    """One that has settled now."""
    one = KeyAllowance(Key("team", "0" * 64, Decimal(1)), Limits(daily=10**9))
    one.used_at = AT
    one.settlement([], AT)
    left = booked if held is None else held
    one.settled(Allowance(booked, left, 0, None, today, today, None, AT + HOLD_SECONDS), NOW)
    return one


def test_what_is_held_is_spent_without_settling() -> None:
    one = holding(100)
    one.reserved = 60
    assert one.room(AT) == 40
    one.charge("m", Charge(70, 0, 1), NOW)
    one.reserved = 0
    assert one.room(AT) == 30
    assert one.settlement([], AT).charges == {TODAY: Charge(70, 0, 1)}
    assert one.room(AT) == 30  # it counts until the ledger has it


def test_what_is_not_used_is_given_back() -> None:
    one = holding(100)
    one.reserved = 60
    assert not one.due(AT)
    later = AT + IDLE_SECONDS
    assert one.due(later)
    assert one.settlement([], later).keep == 60
    one.failed()
    assert one.room(later) == 40


def test_what_others_have_overdrawn_is_given_back_too() -> None:
    """The ledger has it as held here, though nothing of it may be spent."""
    one = holding(5, held=0)
    later = AT + IDLE_SECONDS
    assert (one.room(later), one.due(later), one.settlement([], later).keep) == (0, True, 0)


def test_what_was_reserved_is_given_back_once() -> None:
    one, payer = holding(100), cast(Payer, None)
    one.reserved = 60
    first = Reservation(payer, one, "generates", Ask(), 40)
    for _ in range(2):
        first.close()
    assert (one.reserved, one.room(AT)) == (20, 80)


def test_what_is_left_is_kept_where_a_key_is_in_use() -> None:
    one = holding(100)
    one.reserved = 10
    one.charge("m", Charge(20, 0, 1), NOW)
    assert one.settlement([], AT).keep == 80


def test_requests_that_wait_get_what_is_not_used() -> None:
    one = holding(100)
    one.reserved = 60
    asked = one.settlement([50], AT)
    assert (asked.keep, asked.wanted, one.room(AT)) == (60, [50], 0)


def test_it_is_renewed_long_before_it_expires_and_nothing_after_that() -> None:
    one = holding(100)
    one.reserved = 100
    assert not one.due(AT + HOLD_SECONDS / 4)
    assert one.due(AT + HOLD_SECONDS / 2)
    one.reserved = 10
    assert (one.room(AT + HOLD_SECONDS - 0.1), one.room(AT + HOLD_SECONDS)) == (90, 0)
    assert one.settlement([], AT + HOLD_SECONDS).keep == 10


def test_what_the_ledger_did_not_take_is_charged_the_next_time() -> None:
    one = holding(0)
    one.charge("m", Charge(1, 0, 1), NOW)
    one.settlement([], AT)
    one.charge("m", Charge(2, 2, 1), NOW)
    one.failed()
    assert one.settlement([], AT).charges == {TODAY: Charge(3, 2, 2)}


def test_a_budget_is_known_to_be_spent_until_its_reset() -> None:
    one = holding(100, today=10**9 - 1)
    assert one.refusal(NOW) is None
    one.charge("m", Charge(1, 0, 1), NOW)
    refusal = one.refusal(NOW)
    assert refusal is not None
    assert str(refusal) == (
        "the daily budget of $1 of the proxy key 'team' is exhausted; it resets at 2026-11-28T00:00:00Z"
    )
    assert (refusal.key, refusal.period, refusal.retry_after) == ("team", "daily", 9 * 3_600)
    assert one.refusal(NOW + timedelta(days=1)) is None


def test_what_was_spent_before_a_reset_says_nothing_against_what_comes_after_it() -> None:
    """Though the ledger is away, and has not taken it yet."""
    one = holding(0, today=10**9 - 1)
    one.charge("m", Charge(10**9, 0, 1), NOW)
    one.settlement([], AT)
    one.failed(owed=True)
    assert one.refusal(NOW) is not None
    tomorrow = NOW + timedelta(days=1)
    assert one.refusal(tomorrow) is None
    one.charge("m", Charge(10**9, 0, 1), tomorrow)
    assert one.refusal(tomorrow) is not None


def test_the_usual_cost_follows_upwards_at_once_and_downwards_slowly() -> None:
    one = holding(0)
    assert one.usual("m") is None
    one.charge("m", Charge(1_000, 0, 1), NOW)
    assert (one.usual("m"), one.usual("other"), one.usual(None)) == (1_000, 1_000, 1_000)
    one.charge("m", Charge(0, 0, 1), NOW)
    one.charge("m", Charge(500, 500, 1), NOW)  # an estimate teaches nothing
    assert one.usual("m") == 1_000
    one.charge("m", Charge(500, 0, 1), NOW)
    assert one.usual("m") == 1_000 - 500 // DECAY
    one.charge("m", Charge(3_000, 0, 1), NOW)
    assert one.usual("m") == 3_000


def test_callers_cannot_fill_the_memory_with_names_of_models() -> None:
    one = holding(0)
    for number in range(3 * MAX_MODELS):
        one.charge(f"model-{number}", Charge(number + 1, 0, 1), NOW)
    assert one.usual(f"model-{3 * MAX_MODELS - 1}") == 3 * MAX_MODELS
    assert len(one._usual) == MAX_MODELS
