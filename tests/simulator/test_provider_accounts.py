"""An account's troubles at its provider: each comes when it should, and goes when it should."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.fleet.accounts import FOR_GOOD, Attendant, Death, ProviderAccount

NOW = 1_800_000_000.0
PLAIN = ProviderAccount("anna", "plus")
KEY = PLAIN.first_token


def codes(attendant: Attendant, times: int, now: float = NOW, token: str = KEY) -> list[str | None]:
    return [attendant.attend(token, now).code for _ in range(times)]


def test_an_account_without_trouble_always_answers() -> None:
    assert codes(Attendant(PLAIN), 1_000) == [None] * 1_000


def test_a_spent_week_names_its_reset() -> None:
    attendant = Attendant(replace(PLAIN, week=2, week_days=3))
    assert attendant.attend(KEY, NOW).away_until == 0
    last = attendant.attend(KEY, NOW)
    said = attendant.attend(KEY, NOW)
    assert (last.code, last.away_until) == (None, said.resets_at), "its windows tell that they are full"
    assert (said.status, said.code) == (429, "usage_limit_reached")
    assert said.resets_at is not None
    assert 3 * 86_400 <= said.resets_at - NOW <= 4 * 86_400
    assert said.away_until == said.resets_at
    assert said.limits is not None
    assert said.limits.secondary is not None
    assert said.limits.secondary.used_percent == 100
    attendant.give_anew()
    assert codes(attendant, 3) == [None, None, "usage_limit_reached"]


def test_spent_hours_begin_anew_by_themselves() -> None:
    attendant = Attendant(replace(PLAIN, hours=2, hours_seconds=3))
    assert codes(attendant, 3) == [None, None, "usage_limit_reached"]
    assert codes(attendant, 1, NOW + 2.9) == ["usage_limit_reached"]
    assert codes(attendant, 1, NOW + 3) == [None]


def test_spent_credit_is_told_without_a_reset() -> None:
    attendant = Attendant(replace(PLAIN, plan="api", credit=1))
    assert attendant.attend(KEY, NOW).limits is None
    said = attendant.attend(KEY, NOW)
    assert (said.code, said.resets_at, said.away_until) == ("insufficient_quota", None, FOR_GOOD)


def test_a_rate_limit_says_how_long_and_lasts_so_long() -> None:
    attendant = Attendant(replace(PLAIN, limited_every=3, limited_seconds=2.0))
    assert codes(attendant, 2) == [None, None]
    said = attendant.attend(KEY, NOW)
    assert (said.status, said.away_until) == (429, NOW + 2)
    assert "try again in 2.000s" in said.message
    assert codes(attendant, 1, NOW + 1.9) == ["rate_limit_exceeded"]
    assert codes(attendant, 1, NOW + 2) == [None]


def test_some_requests_break() -> None:
    attendant = Attendant(replace(PLAIN, broken_every=3))
    assert codes(attendant, 6) == [None, None, "server_error"] * 2


@pytest.mark.parametrize("death", ["account_deactivated", "account_suspended", "invalid_api_key"])
def test_an_account_dies_for_good(death: Death) -> None:
    attendant = Attendant(replace(PLAIN, lives=1, death=death))
    assert codes(attendant, 1) == [None]
    assert codes(attendant, 2, NOW + 10**7) == [death] * 2


def test_a_login_wears_out_and_is_refreshed_until_it_ends() -> None:
    attendant = Attendant(replace(PLAIN, login=True, token_lives=2, refreshes=1))
    assert codes(attendant, 3) == [None, None, "token_expired"]
    old = attendant.refresh_token
    new = attendant.refresh(old)
    assert new is not None
    assert codes(attendant, 1) == ["token_expired"], "the old token stays refused"
    assert codes(attendant, 3, token=new) == [None, None, "token_expired"]
    assert attendant.refresh(old) is None, "a refresh token works once"
    assert attendant.refresh(attendant.refresh_token) is None, "once is all that this login is granted"
