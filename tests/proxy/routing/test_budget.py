"""Keys and budgets: who comes in, and until when no more is spent."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from ledger.accounts.budgets import KeySpend, day_start, week_start
from ledger.pricing.cost import Spend
from proxy.relay.access import Key, KeyRing, spent

FRIDAY = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def spend(today: str, earlier: str) -> KeySpend:
    """Dollars of today and of Monday."""
    days = {
        ("team", day_start(FRIDAY)): Spend(Decimal(today)),
        ("team", week_start(FRIDAY)): Spend(Decimal(earlier)),
        ("lab", day_start(FRIDAY)): Spend(Decimal(10**6)),
    }
    return KeySpend(week_start(FRIDAY), 1, days, {})


TEAM = Key("team", digest("k"), Decimal(5), Decimal(20))


class TestBudget:
    @pytest.mark.parametrize(
        ("today", "earlier", "period"),
        [
            ("0", "0", None),
            ("4.99", "15", None),
            ("5", "0", "daily"),
            ("5", "15", "weekly"),
            ("0", "20", "weekly"),
        ],
    )
    def test_a_budget_is_spent_when_it_is_reached(self, today: str, earlier: str, period: str | None) -> None:
        found = spent(TEAM, spend(today, earlier), FRIDAY)
        assert (found.period if found else None) == period

    def test_it_says_which_one_and_until_when(self) -> None:
        daily = spent(TEAM, spend("5", "0"), FRIDAY)
        assert daily is not None
        assert daily.message == (
            "the daily budget of $5 of the proxy key 'team' is spent; it resets at 2026-11-21T00:00:00Z"
        )
        assert daily.retry_after(FRIDAY) == 8.5 * 3_600
        assert daily.retry_after(daily.resets_at - timedelta(seconds=0.2)) == 1
        weekly = spent(TEAM, spend("0", "20"), FRIDAY)
        assert weekly is not None
        assert weekly.resets_at == datetime(2026, 11, 23, tzinfo=UTC)

    def test_it_ends_at_its_reset_even_before_the_ledger_is_read_again(self) -> None:
        assert spent(TEAM, spend("5", "0"), FRIDAY + timedelta(days=1)) is None
        assert spent(TEAM, spend("0", "20"), FRIDAY + timedelta(days=3)) is None

    def test_without_a_limit_nothing_is_refused(self) -> None:
        assert spent(Key("lab", digest("k")), spend("0", "0"), FRIDAY) is None
        assert spent(TEAM, None, FRIDAY) is None


class TestKeys:
    def test_a_key_is_known_by_its_digest(self) -> None:
        ring = KeyRing([TEAM], required=True)
        assert ring.find("k") is TEAM
        assert [ring.find(wrong) for wrong in ("K", "", None, digest("k"), "\udc80")] == [None] * 5

    def test_only_keys_with_a_limit_are_watched(self) -> None:
        ring = KeyRing([TEAM, Key("lab", digest("l"))], required=False)
        assert ring.budgeted == {"team"}
