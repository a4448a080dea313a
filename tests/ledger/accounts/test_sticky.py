"""Conversations and their accounts, shared through the ledger."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
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


def test_processes_that_keep_the_same_conversations_never_wait_crosswise(ledger: Engine) -> None:
    """A server ends one of two that do."""
    first, second = Stay("a", "one", NOON), Stay("b", "one", NOON)

    def other_way() -> None:
        with ledger.begin() as connection:
            keep(connection, [replace(second, at=NOON + DAY), replace(first, at=NOON + DAY)])

    with ThreadPoolExecutor(1) as other:
        with ledger.begin() as connection:
            keep(connection, [first])
            waiting = other.submit(other_way)
            wait([waiting], timeout=0.3)  # it has gone as far as it can by then
            keep(connection, [second])
        waiting.result(timeout=30)
    with ledger.connect() as connection:
        assert find(connection, "a", NOON + DAY) == find(connection, "b", NOON + DAY) == "one"
