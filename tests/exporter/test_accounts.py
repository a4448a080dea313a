from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.accounts import IdentityMode, by_status, display, identities
from ledger.requests.queries import Account
from metrics.exporter import ACCOUNTS, IDENTITY

ONE = Account("one", "one@example.com", "plus", "active")
NAMELESS = Account("two", "", "pro", "paused")
KNOWN = {"active", "rate_limited", "quota_exceeded", "paused", "reauth_required", "deactivated"}


def test_every_known_status_is_there_without_any_account() -> None:
    samples = by_status([])
    assert samples.family is ACCOUNTS
    assert samples.values == {(status,): 0 for status in KNOWN}


def test_accounts_are_counted_by_status() -> None:
    values = by_status([ONE, ONE, NAMELESS]).values
    assert values[("active",)] == 2
    assert values[("paused",)] == 1
    assert values[("deactivated",)] == 0


def test_a_status_that_is_new_to_us_goes_by_its_own_name() -> None:
    assert by_status([Account("x", "", "plus", "on_holiday")]).values[("on_holiday",)] == 1


@given(st.lists(st.sampled_from([*sorted(KNOWN), "on_holiday"])))
def test_no_account_is_counted_twice_or_left_out(statuses: list[str]) -> None:
    values = by_status([Account(str(n), "", "", status) for n, status in enumerate(statuses)]).values
    assert sum(values.values()) == len(statuses)


@pytest.mark.parametrize(
    ("account", "mode", "shown"),
    [
        (ONE, "email", "one@example.com"),
        (ONE, "account_id", "one"),
        (NAMELESS, "email", "two"),
        (NAMELESS, "account_id", "two"),
        (Account("three", "  ", "plus", "active"), "email", "three"),
    ],
)
def test_the_name_to_show_follows_the_mode(account: Account, mode: IdentityMode, shown: str) -> None:
    assert display(account, mode) == shown


def test_an_identity_joins_id_name_and_plan() -> None:
    samples = identities([ONE, NAMELESS], "email")
    assert samples.family is IDENTITY
    assert samples.values == {("one", "one@example.com", "plus"): 1.0, ("two", "two", "pro"): 1.0}


def test_two_accounts_of_one_address_stay_apart() -> None:
    twin = Account("twin", ONE.email, "plus", "active")
    assert len(identities([ONE, twin], "email").values) == 2
