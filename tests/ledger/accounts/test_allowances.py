"""Budgets across processes: what is charged and what is held never exceeds one by more than one request."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, func, select

from ledger.accounts.allowances import (
    HOLD_SECONDS,
    Allowance,
    Charge,
    Limits,
    Settlement,
    catch_up,
    grant,
    nano_usd,
    release,
    settle,
)
from ledger.accounts.budgets import LoggedDay
from ledger.schema import key_holds, key_spend
from tests.support.examples import examples

FRIDAY = datetime(2026, 11, 27, 15, tzinfo=UTC)
DOLLAR = nano_usd(Decimal(1))
DAILY = Limits(daily=DOLLAR)
TODAY = "2026-11-27"


def ask(
    ledger: Engine,
    holder: str,
    *wanted: int,
    cost: int = 0,
    keep: int = 0,
    now: datetime = FRIDAY,
    limits: Limits = DAILY,
    spare: bool = False,
) -> Allowance:
    day = now.date().isoformat()
    charges = {day: Charge(cost, 0, 1)} if cost else {}
    with ledger.begin() as connection:
        return settle(connection, holder, Settlement("team", limits, charges, keep, wanted, spare), now)


def totals(connection: Connection) -> tuple[int, int]:
    """Charged and held."""
    found = [
        connection.execute(select(func.coalesce(func.sum(table.c.nano_usd), 0))).scalar()
        for table in (key_spend, key_holds)
    ]
    return int(found[0] or 0), int(found[1] or 0)


@pytest.mark.parametrize(
    ("wanted", "left", "granted"),
    [
        ((), 5, (0, 0)),
        ((3,), 5, (1, 3)),
        ((5,), 5, (1, 5)),
        ((9,), 1, (1, 9)),  # the last one may cost more
        ((9, 1), 1, (1, 9)),
        ((2, 2, 2, 2), 5, (3, 6)),
        ((1,), 0, (0, 0)),
        ((0, 0), 0, (0, 0)),
        ((0, 0), 1, (2, 0)),
        ((1,), -7, (0, 0)),
    ],
)
def test_while_something_is_left_one_more_may_begin(
    wanted: Sequence[int], left: int, granted: tuple[int, int]
) -> None:
    assert grant(wanted, left) == granted


def test_dollars_are_never_rounded_to_less() -> None:
    assert nano_usd(Decimal("1.25")) == 1_250_000_000
    assert nano_usd(Decimal("1e-12")) == 1
    assert nano_usd(Decimal(0)) == 0


def test_what_one_process_holds_no_other_gets(ledger: Engine) -> None:
    first = ask(ledger, "one", DOLLAR * 6 // 10)
    assert (first.granted, first.held, first.exhausted) == (1, DOLLAR * 6 // 10, None)
    assert first.booked == first.held
    second = ask(ledger, "two", DOLLAR * 6 // 10)
    assert (second.granted, second.exhausted) == (1, "daily")
    third = ask(ledger, "three", 1)
    assert (third.granted, third.held, third.exhausted) == (0, 0, "daily")
    ask(ledger, "one", cost=DOLLAR // 10)  # it cost less than was reserved
    ask(ledger, "two", cost=DOLLAR // 10)
    assert ask(ledger, "three", 1).granted == 1


def test_what_the_last_request_did_not_need_is_not_there_for_others(ledger: Engine) -> None:
    last = ask(ledger, "one", DOLLAR * 5, cost=DOLLAR * 9 // 10)
    assert (last.granted, last.held, last.booked) == (1, DOLLAR // 10, DOLLAR * 5)
    assert ask(ledger, "one", 1, keep=DOLLAR * 5).held == DOLLAR // 10
    assert ask(ledger, "two", 1).granted == 0
    assert ask(ledger, "one", cost=DOLLAR // 20).held == 0
    assert ask(ledger, "two", 1).granted == 1


def test_what_is_charged_stays_until_the_day_and_the_week_end(ledger: Engine) -> None:
    limits = Limits(daily=DOLLAR, weekly=DOLLAR * 3 // 2)
    spent = ask(ledger, "one", 1, cost=DOLLAR, limits=limits)
    assert (spent.granted, spent.exhausted, spent.today, spent.this_week) == (0, "daily", DOLLAR, DOLLAR)
    saturday = FRIDAY + timedelta(days=1)
    again = ask(ledger, "one", 1, cost=DOLLAR // 2, now=saturday, limits=limits)
    assert (again.granted, again.exhausted) == (0, "weekly")
    assert (again.today, again.this_week, again.usual) == (DOLLAR // 2, DOLLAR * 3 // 2, DOLLAR * 3 // 4)
    monday = ask(ledger, "one", 1, now=FRIDAY + timedelta(days=3), limits=limits)
    assert (monday.granted, monday.today, monday.this_week, monday.usual) == (1, 0, 0, None)


def test_a_process_that_is_killed_holds_nothing_in_the_end(ledger: Engine) -> None:
    ask(ledger, "killed", DOLLAR)
    before = FRIDAY + timedelta(seconds=HOLD_SECONDS - 1)
    assert ask(ledger, "other", 1, now=before).granted == 0
    after = FRIDAY + timedelta(seconds=HOLD_SECONDS + 1)
    assert ask(ledger, "other", 1, now=after).granted == 1


def test_one_that_lives_renews_what_it_holds_and_one_that_ends_gives_it_back(ledger: Engine) -> None:
    ask(ledger, "one", DOLLAR)
    later = FRIDAY + timedelta(seconds=HOLD_SECONDS - 1)
    ask(ledger, "one", keep=DOLLAR, now=later)
    assert ask(ledger, "two", 1, now=later + timedelta(seconds=2)).granted == 0
    with ledger.begin() as connection:
        release(connection, "one", ["team"])
    assert ask(ledger, "two", 1, now=later + timedelta(seconds=2)).granted == 1


def test_what_is_held_to_spare_is_a_small_part_of_what_is_left(ledger: Engine) -> None:
    assert ask(ledger, "one", 1, spare=True).held == 1 + (DOLLAR - 1) // 16
    second = ask(ledger, "two", 1, spare=True, cost=DOLLAR * 9 // 10)
    assert second.granted == 1
    assert second.held <= 1 + DOLLAR // 10 // 16


def test_what_a_process_keeps_is_not_there_for_what_waits(ledger: Engine) -> None:
    found = ask(ledger, "one", DOLLAR // 20, DOLLAR // 10, 1, keep=DOLLAR * 9 // 10)
    assert (found.granted, found.exhausted) == (2, "daily")


def test_what_others_hold_counts_for_the_week_too(ledger: Engine) -> None:
    weekly = Limits(weekly=DOLLAR)
    ask(ledger, "one", DOLLAR, limits=weekly)
    found = ask(ledger, "two", 1, limits=weekly)
    assert (found.granted, found.exhausted) == (0, "weekly")


def test_who_settles_waits_for_whoever_is_settling(ledger: Engine) -> None:
    with ThreadPoolExecutor(1) as other:
        with ledger.begin() as connection:
            first = settle(connection, "one", Settlement("team", DAILY, wanted=(DOLLAR,)), FRIDAY)
            waiting = other.submit(ask, ledger, "two", 1)
            wait([waiting], timeout=0.3)  # it has looked by then, if it does not wait
        assert (first.granted, waiting.result(timeout=30).granted) == (1, 0)


def test_keys_and_their_budgets_are_apart(ledger: Engine) -> None:
    ask(ledger, "one", cost=DOLLAR)
    with ledger.begin() as connection:
        other = settle(connection, "one", Settlement("lab", DAILY, wanted=(1,)), FRIDAY)
    assert other.granted == 1
    assert ask(ledger, "one", 1, limits=Limits()).granted == 1


@examples(40)
@given(data=st.data())
def test_no_order_of_settling_overspends_by_more_than_one_request(
    ledger: Engine, data: st.DataObject
) -> None:
    """Requests cost what they reserved, the worst case."""
    amounts = st.integers(0, DOLLAR // 3)
    with ledger.connect() as connection, connection.begin() as transaction:
        running: dict[str, list[int]] = {"one": [], "two": [], "three": []}
        held = dict.fromkeys(running, 0)
        largest = 0
        for _ in range(data.draw(st.integers(1, 12))):
            name = data.draw(st.sampled_from(sorted(running)))
            over = data.draw(st.integers(0, len(running[name])))
            done, running[name] = running[name][:over], running[name][over:]
            held[name] -= sum(done)
            wanted = data.draw(st.lists(amounts, max_size=4))
            largest = max(largest, *wanted, 0)
            keep = max(sum(running[name]), held[name]) if data.draw(st.booleans()) else sum(running[name])
            charges = {TODAY: Charge(sum(done), 0, len(done))}
            settlement = Settlement("team", DAILY, charges, keep, wanted, data.draw(st.booleans()))
            allowance = settle(connection, name, settlement, FRIDAY)
            running[name] += wanted[: allowance.granted]
            held[name] = allowance.held
            charged, reserved = totals(connection)
            assert charged + reserved <= DOLLAR + largest
            assert charged + held[name] <= max(DOLLAR, charged)
            assert reserved >= sum(map(sum, running.values()))
            assert (allowance.granted == len(wanted)) or allowance.exhausted == "daily"
        transaction.rollback()


def test_many_processes_at_once_get_no_more_than_there_is(ledger: Engine) -> None:
    """Eight of them ask in threads, on connections of their own, again and again."""
    one = DOLLAR // 50

    def process(number: int) -> int:
        began = 0
        while ask(ledger, f"process-{number}", one, keep=0, cost=one if began else 0).granted:
            began += 1
        return began

    with ThreadPoolExecutor(8) as threads:
        begun = list(threads.map(process, range(8)))
    assert 50 <= sum(begun) <= 51
    with ledger.connect() as connection:
        assert totals(connection) == (one * sum(begun), 0)


def test_what_only_the_log_knows_is_taken_over_once(ledger: Engine) -> None:
    logged = {TODAY: LoggedDay(Decimal("0.5"), 5), "2026-11-23": LoggedDay(Decimal("0.25"), 1)}
    ask(ledger, "one", cost=DOLLAR // 10)
    for _ in range(2):
        with ledger.begin() as connection:
            catch_up(connection, "team", logged, FRIDAY)
        found = ask(ledger, "one")
        assert (found.today, found.this_week) == (DOLLAR // 2, DOLLAR * 3 // 4)
        assert found.usual == DOLLAR * 3 // 4 // 6


def test_what_a_running_process_has_not_charged_yet_is_not_taken_over(ledger: Engine) -> None:
    ask(ledger, "one", 1)
    with ledger.begin() as connection:
        catch_up(connection, "team", {TODAY: LoggedDay(Decimal(1), 1)}, FRIDAY)
    assert ask(ledger, "two", 1).today == 0
    later = FRIDAY + timedelta(seconds=HOLD_SECONDS + 1)
    with ledger.begin() as connection:
        catch_up(connection, "team", {TODAY: LoggedDay(Decimal(1), 1)}, later)
    assert ask(ledger, "two", 1, now=later).today == DOLLAR


def test_what_a_process_has_not_charged_itself_is_not_taken_over_twice(ledger: Engine) -> None:
    ask(ledger, "one", 1)
    known = {TODAY: LoggedDay(Decimal(1), 4)}
    for own, expected in ((DOLLAR * 3 // 4, DOLLAR // 4), (DOLLAR, DOLLAR // 4), (DOLLAR // 2, DOLLAR // 2)):
        with ledger.begin() as connection:
            assert not catch_up(connection, "team", known, FRIDAY, "two", {TODAY: Charge(own, 0, 3)})
            assert catch_up(connection, "team", known, FRIDAY, "one", {TODAY: Charge(own, 0, 3)})
        assert ask(ledger, "one", 1).today == expected


def test_what_was_charged_without_counts_does_not_say_what_is_usual(ledger: Engine) -> None:
    def told(charge: Charge) -> int | None:
        with ledger.begin() as connection:
            return settle(connection, "a", Settlement("team", DAILY, {TODAY: charge}), FRIDAY).usual

    assert told(Charge(5, 5, 0)) is None
    assert told(Charge(1_000, 0, 1)) == 1_000
    assert told(Charge(90, 90, 0)) == 1_000
