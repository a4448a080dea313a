"""Budgets at moments that hardly ever come: a reset, or a client that leaves, between a word of the ledger
and whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine

from ledger.accounts.allowances import Charge
from ledger.pricing.files import current_book
from ledger.pricing.table import CurrentPrices
from ledger.store import sqlite_url, writer
from proxy.relay import budgets as module
from proxy.relay.access import Key
from proxy.relay.budgets import Budgets
from proxy.relay.charge import Ask
from tests.support.ledgers import place_migrated

KEY = Key("team", "0" * 64, Decimal(1))
MIDNIGHT = datetime(2026, 11, 28, tzinfo=UTC)


class Ledger:
    """A real one; `then` is called once a transaction is over."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.then: Callable[[], None] = lambda: None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        with self.engine.begin() as connection:
            yield connection
        self.then()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    place_migrated(tmp_path / "usage.db")
    engine = writer(sqlite_url(tmp_path / "usage.db"))
    yield Ledger(engine)
    engine.dispose()


def made(ledger: Ledger) -> Budgets:
    prices = CurrentPrices(current_book({}))
    return Budgets([KEY], ledger, prices, lambda key, cost: None, unpriced=True)


async def test_a_word_from_before_the_reset_is_not_taken_for_one_of_after_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [MIDNIGHT - timedelta(seconds=1)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return clock[0]

    monkeypatch.setattr(module, "datetime", Clock)
    budgets = made(ledger)
    budgets._keys["team"].charge(None, Charge(10**9, 0, 1), clock[0])
    ledger.then = lambda: clock.__setitem__(0, MIDNIGHT + timedelta(seconds=1))
    budgets._settle_soon()
    assert budgets._settling is not None
    await budgets._settling
    assert budgets.spent(KEY) is None
    await budgets.close()


async def test_who_leaves_as_money_is_granted_keeps_none_of_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets = made(ledger)
    asking = asyncio.create_task(budgets.reserve(KEY, "generates", Ask()))
    settled = budgets._settled

    def granted(*found: Any) -> None:
        settled(*found)
        assert budgets._keys["team"].reserved > 0
        asking.cancel()

    monkeypatch.setattr(budgets, "_settled", granted)
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert budgets._keys["team"].reserved == 0
    await budgets.close()
