"""Budgets at moments that hardly ever come: a reset, or a client that leaves, between a word of the ledger
and whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, Engine, func, insert, select, update

from ledger.accounts.allowances import Charge
from ledger.pricing.files import current_book
from ledger.pricing.table import CurrentPrices
from ledger.requests.writes import ensure_account, record
from ledger.schema import key_holds, key_spend
from ledger.store import sqlite_url, writer
from proxy.relay import budgets as module
from proxy.relay.access import Key
from proxy.relay.budgets import Budgets
from proxy.relay.charge import Ask
from tests.support.ledgers import place_migrated

if TYPE_CHECKING:
    from tests.proxy.conftest import MakeEvent

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


async def test_what_a_killed_process_left_uncharged_is_charged_once_its_allowance_is_over(
    ledger: Ledger, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it holds one it may still be there, and charge that itself."""
    now = datetime.now(UTC)
    with ledger.engine.begin() as connection:
        ensure_account(connection, id="default", created_at=now)
        record(connection, [make_event(api_key_id="team", requested_at=now)])
        connection.execute(
            insert(key_holds).values(
                key="team", holder="dead", nano_usd=1, expires_at=now.timestamp() + 3_600
            )
        )
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "CATCH_UP_SECONDS", 0.01)
    budgets = made(ledger)
    await budgets.start()
    running = asyncio.create_task(budgets.run())
    try:
        await asyncio.sleep(0.1)
        assert spent(ledger) == 0
        with ledger.engine.begin() as connection:
            connection.execute(update(key_holds).values(expires_at=now.timestamp() - 1))
        deadline = monotonic() + 30
        while not (first := spent(ledger)):
            assert monotonic() < deadline
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert spent(ledger) == first
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await budgets.close()


def spent(ledger: Ledger) -> int:
    """What is charged, in 10^-9 US dollars."""
    with ledger.engine.connect() as connection:
        return int(connection.execute(select(func.coalesce(func.sum(key_spend.c.nano_usd), 0))).scalar_one())
