"""The judge of a proxy: it must see what is wrong, and must not see what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metrics import proxy as m
from tests.support.fleet.accounts import FOR_GOOD, ProviderAccount
from tests.support.fleet.attempts import ENDED, EXPIRED, Attempt, attempts
from tests.support.fleet.calls import Call
from tests.support.fleet.judging import (
    asked_too_late,
    asked_too_often,
    counted,
    expected,
    failed,
    series,
    summed,
    within,
)
from tests.support.fleet.upstream import Entry

ANNA, BEN = ProviderAccount("anna", "pro"), ProviderAccount("ben", "free", pinned=True)


def call(name: str, began: float, ended: float, status: int = 200, talk: str | None = None) -> Call:
    return Call(name, talk, began, ended, status, "" if status == 200 else "why")


def asked(name: str, account: str, at: float, code: str | None = None, away: float = 0.0) -> Entry:
    return Entry(name, account, at, at + 0.1, 200 if code is None else 429, code, away)


def read(calls: list[Call], *entries: Entry) -> list[Attempt]:
    return attempts(entries, calls)


LIMITED = asked("r1", "anna", 1.0, "rate_limit_exceeded", away=9.0)
FIRST = call("r1", 0.9, 2.0)


class TestAttempts:
    def test_a_request_goes_from_account_to_account(self) -> None:
        first, second = read([FIRST], asked("r1", "ben", 1.5), LIMITED)
        assert (first.account, first.not_before, first.known_at, first.last) == ("anna", 0.9, 1.5, False)
        assert (second.account, second.not_before, second.known_at, second.last) == ("ben", 1.1, 2.0, True)
        assert (first.error_class, second.error_class) == ("rate_limit", None)

    def test_a_token_that_was_renewed_is_no_attempt_of_its_own(self) -> None:
        (only,) = read([FIRST], asked("r1", "anna", 1.0, EXPIRED), asked("r1", "anna", 1.5))
        assert (only.not_before, only.asked_at, only.code) == (0.9, 1.5, None)

    def test_a_token_that_was_not_renewed_ends_the_login(self) -> None:
        first, _ = read([FIRST], asked("r1", "anna", 1.0, EXPIRED), asked("r1", "ben", 1.5))
        assert (first.code, first.away_until, first.error_class) == (ENDED, FOR_GOOD, "auth")

    def test_a_request_that_nobody_made_is_an_error(self) -> None:
        with pytest.raises(KeyError):
            read([], LIMITED)


class TestAskedTooLate:
    @pytest.mark.parametrize(
        ("began", "at", "wrong"),
        [
            (1.9, 2.5, False),  # under way when the answer became known
            (2.1, 2.5, True),
            (2.1, 8.9, True),
            (2.1, 9.0, False),  # the limit is over
        ],
    )
    def test_after_the_answer_is_known_and_before_its_end(self, began: float, at: float, wrong: bool) -> None:
        calls = [FIRST, call("r2", began, 10.0)]
        found = asked_too_late(read(calls, LIMITED, asked("r2", "anna", at)))
        assert len(found) == wrong

    def test_a_second_attempt_is_chosen_when_the_first_has_failed(self) -> None:
        calls = [FIRST, call("r2", 1.2, 4.0)]
        broken = asked("r2", "ben", 3.0, "server_error")
        (fault,) = asked_too_late(read(calls, LIMITED, broken, asked("r2", "anna", 3.5)))
        assert fault.startswith("r2 reached anna")

    def test_an_account_is_not_blamed_for_another(self) -> None:
        calls = [FIRST, call("r2", 3.0, 4.0)]
        assert asked_too_late(read(calls, LIMITED, asked("r2", "ben", 3.5))) == []

    def test_a_shorter_limit_does_not_hide_a_longer_one(self) -> None:
        calls = [FIRST, call("r2", 0.8, 2.5), call("r3", 4.0, 5.0)]
        shorter = asked("r2", "anna", 1.2, "server_error", away=1.4)
        assert len(asked_too_late(read(calls, LIMITED, shorter, asked("r3", "anna", 4.5)))) == 1


class TestSeveralProxies:
    def late(self, origin: str, began: float) -> list[str]:
        """Of a request to `anna` at a proxy, after another one was told at `one` to leave it alone."""
        told, asking = replace(FIRST, origin="one"), replace(call("r2", began, 9.0), origin=origin)
        found = read([told, asking], LIMITED, asked("r2", "anna", began + 0.1))
        return asked_too_late(found, within(1.0))

    def test_a_proxy_knows_at_once_what_it_was_told_itself(self) -> None:
        assert len(self.late("one", 2.1)) == 1

    def test_another_one_knows_it_a_little_later(self) -> None:
        assert self.late("two", 2.9) == []
        assert len(self.late("two", 3.1)) == 1

    def test_nobody_sees_which_worker_was_told(self) -> None:
        asking = call("r2", 2.9, 9.0)
        found = read([FIRST, asking], LIMITED, asked("r2", "anna", 3.0))
        assert len(asked_too_late(found, within(1.0))) == 1
        assert asked_too_late(found, within(1.0, known_apart=False)) == []

    def test_a_full_window_is_told_to_each_of_them(self) -> None:
        full = replace(asked("r1", "anna", 1.0), away_until=99.0)
        for origin, late in (("one", 1), ("two", 0)):
            calls = [replace(FIRST, origin="one"), replace(call("r2", 5.0, 9.0), origin=origin)]
            found = read(calls, full, asked("r2", "anna", 5.1))
            assert len(asked_too_late(found, within(1.0))) == late


def test_scrapes_are_summed() -> None:
    one, two = '# HELP a\na{b="c d"} 1.0\ne 2.0\n', 'a{b="c d"} 3.0\n'
    assert summed([one, two]) == {'a{b="c d"}': 4.0, "e": 2.0}


def test_a_request_that_failed_is_named() -> None:
    bad = call("r1", 0.9, 2.0, status=429)
    assert failed(read([bad], LIMITED), [bad]) == ["r1: 429 after 1 accounts: why"]
    assert failed(read([FIRST], LIMITED, asked("r1", "ben", 1.5)), [FIRST]) == []


def test_an_answer_that_no_account_gave_is_named() -> None:
    assert failed(read([FIRST], LIMITED), [FIRST]) == ["r1: 200, but no account said so"]
    assert failed([], [FIRST]) == ["r1: 200, but no account said so"]


class TestAskedTooOften:
    def entries(self, *names: str) -> list[Attempt]:
        """Refused by all but the last one."""
        *refused, last = names
        entries = [asked("r1", name, 1.0 + n / 10, "server_error") for n, name in enumerate(refused)] + [
            asked("r1", last, 1.9)
        ]
        return read([FIRST], *entries)

    def test_three_accounts_are_not_too_many(self) -> None:
        assert asked_too_often(self.entries("a", "b", "c")) == []

    def test_four_accounts_are(self) -> None:
        assert asked_too_often(self.entries("a", "b", "c", "d")) == ["r1 went to a, b, c, d"]

    def test_one_account_is_not_asked_twice(self) -> None:
        assert asked_too_often(self.entries("a", "a")) == ["r1 went to a, a"]

    def test_who_was_answered_asks_nobody_else(self) -> None:
        twice = read([FIRST], asked("r1", "a", 1.0), asked("r1", "b", 1.5))
        assert asked_too_often(twice) == ["r1 was answered by a and went on to b"]


def test_what_the_counters_must_come_to() -> None:
    calls = [call("r1", 0.9, 2.0, talk="talk")]
    found = expected(
        read(calls, asked("r1", "ben", 0.95, "account_deactivated"), asked("r1", "anna", 1.5)), [ANNA, BEN]
    )
    tokens = {name: value for name, value in found.items() if "tokens" in name}
    assert len(tokens) == 8
    assert {name: value for name, value in found.items() if name not in tokens} == {
        series(m.LB_SELECT, "pinned", "memory", "false", "selected"): 1,
        series(m.LB_SELECT, "full", "memory", "true", "selected"): 1,
        series(m.LB_SELECTED_TIER, "pinned", "memory", "false", "free"): 1,
        series(m.LB_SELECTED_TIER, "full", "memory", "true", "pro"): 1,
        series(m.LB_TIER_SCORE, "pinned", "memory", "false", "free", name=m.LB_TIER_SCORE.count): 1,
        series(m.LB_TIER_SCORE, "full", "memory", "true", "pro", name=m.LB_TIER_SCORE.count): 1,
        series(m.LB_MARK, "permanent_failure", "ben"): 1,
        series(m.LB_PERMANENT, "account_deactivated"): 1,
        series(m.RETRIES, "responses", "auth"): 1,
        series(m.ACCOUNT_RETRIES, "ben", "responses", "auth"): 1,
        series(m.REQUESTS, "error", "gpt-5.5", "responses"): 1,
        series(m.REQUESTS, "success", "gpt-5.5", "responses"): 1,
        series(m.ERRORS, "account_deactivated"): 1,
        series(m.ACCOUNT_ERRORS, "ben", "auth"): 1,
        series(m.ACCOUNT_REQUESTS, "ben", "error", "responses"): 1,
        series(m.ACCOUNT_REQUESTS, "anna", "success", "responses"): 1,
    }


def test_of_a_scrape_that_part_is_compared() -> None:
    mark = series(m.LB_MARK, "error", "anna")
    chosen = series(m.LB_SELECT, "full", "none", "false", "selected")
    scrape = {
        mark: 2.0,
        chosen: 3.0,
        series(m.LB_SELECT, "pinned", "none", "false", "no_available"): 3.0,
        series(m.LB_MARK, "error", "ben"): 0.0,
        m.LB_UPDATED_AT.name: 1.0,
    }
    assert counted(scrape) == {mark: 2.0, chosen: 3.0}
