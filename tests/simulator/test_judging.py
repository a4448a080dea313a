"""The judge of a proxy: it must see what is wrong, and must not see what is not."""

from __future__ import annotations

import pytest

from proxy import metrics as m
from simulator.accounts_upstream import Entry
from simulator.attempts import ENDED, EXPIRED, Attempt, attempts
from simulator.calls import Call
from simulator.judging import asked_too_late, counted, expected, failed, series
from simulator.provider_accounts import FOR_GOOD, ProviderAccount

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


def test_a_request_that_failed_is_named() -> None:
    bad = call("r1", 0.9, 2.0, status=429)
    assert failed(read([bad], LIMITED), [bad]) == ["r1: 429 after 1 accounts: why"]
    assert failed(read([FIRST], LIMITED), [FIRST]) == []


def test_what_the_counters_must_come_to() -> None:
    calls = [call("r1", 0.9, 2.0, talk="talk")]
    found = expected(
        read(calls, asked("r1", "ben", 0.95, "account_deactivated"), asked("r1", "anna", 1.5)), [ANNA, BEN]
    )
    tokens = {name: value for name, value in found.items() if "tokens" in name}
    assert len(tokens) == 4
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
