"""Conversations and their accounts, shared through the ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from ledger.accounts.affinity import Stay, find, forget, keep

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize("order", [1, -1])
def test_the_latest_stay_holds_in_whatever_order_they_come(ledger: Engine, order: int) -> None:
    stays = [Stay("k", "one", NOON), Stay("k", "two", NOON + DAY / 2)]
    with ledger.begin() as connection:
        keep(connection, stays[::order])
        assert find(connection, "k", NOON) == "two"
        assert find(connection, "other", NOON) is None


def test_an_old_conversation_is_not_found(ledger: Engine) -> None:
    with ledger.begin() as connection:
        keep(connection, [Stay("k", "one", NOON)])
        assert find(connection, "k", NOON) == "one"
        assert find(connection, "k", NOON + timedelta(microseconds=1)) is None


def test_old_conversations_are_forgotten(ledger: Engine) -> None:
    with ledger.begin() as connection:
        keep(connection, [Stay("old", "one", NOON), Stay("new", "one", NOON + DAY)])
        assert forget(connection, NOON + DAY) == 1
        assert find(connection, "old", NOON) is None
        assert find(connection, "new", NOON) == "one"
