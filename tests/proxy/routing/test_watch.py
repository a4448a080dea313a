"""Several routers on one ledger: what one notices or a person decides, all follow within two seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from time import monotonic, time

import aiohttp
import pytest
from sqlalchemy import Engine, text

from ledger.accounts import affinity as sticky
from ledger.accounts import changes as accounts
from ledger.accounts.affinity import Stay
from ledger.accounts.configured import Description
from ledger.accounts.marks import Mark
from ledger.accounts.pool import read_fleet
from ledger.pricing.files import load_seed
from ledger.pricing.prices import PriceBook
from ledger.pricing.table import CurrentPrices
from metrics import proxy as metrics
from proxy.accounts.credential_cache import Vault
from proxy.accounts.ledger_sync import MarkStore, StayStore, Watch
from proxy.observers.ledger_writer import LedgerWriter
from proxy.observers.registry import Metrics
from proxy.routing.candidate import Standing
from proxy.routing.counters import Counting
from proxy.routing.failure import Failure
from proxy.routing.router import Router, Rules
from proxy.routing.score import Weights
from tests.support.ledgers import migrated

pytestmark = pytest.mark.slow

BOOK = PriceBook(load_seed())


@dataclass
class Process:
    """What a proxy process has of routing."""

    router: Router
    watch: Watch


@pytest.fixture
def ledger(tmp_path: Path) -> Engine:
    engine = migrated(tmp_path / "usage.db")
    with engine.begin() as connection:
        for name in ("anna", "ben"):
            accounts.add(connection, Description(name, "env:KEY"), datetime.now(UTC))
    return engine


@asynccontextmanager
async def process(engine: Engine, **how: float) -> AsyncIterator[Process]:
    marks: LedgerWriter[Mark] = LedgerWriter(MarkStore(engine), interval=0.2, max_waiting=1_000)
    counting = Counting(Metrics(metrics.FAMILIES), "none")
    router = Router(Rules(Weights()), counting, lambda mark: marks([mark]))
    marks.start()
    async with vault(KEY="key") as held:
        watch = Watch(engine, router, held, CurrentPrices(BOOK), refresh_seconds=how.get("refresh", 60.0))
        await watch.look()
        looking = asyncio.create_task(watch.run())
        try:
            yield Process(router, watch)
        finally:
            looking.cancel()
            await asyncio.to_thread(marks.close)


@asynccontextmanager
async def vault(**environ: str) -> AsyncIterator[Vault]:
    async with aiohttp.ClientSession() as client:
        yield Vault(environ, client, "http://127.0.0.1:1/token", lambda _: None)


async def within(seconds: float, true: Callable[[], object]) -> float:
    """Seconds until something is so."""
    start = monotonic()
    while not true():
        assert monotonic() - start < seconds, "it does not come in time"
        await asyncio.sleep(0.02)
    return monotonic() - start


def all_have(running: list[Process], eligible: set[str]) -> bool:
    return all(set(p.router.snapshot().grades) == eligible for p in running)


async def test_all_processes_follow_a_person_within_two_seconds(ledger: Engine) -> None:
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(process(ledger)) for _ in range(3)]
        for action, eligible in (
            (accounts.pause, {"ben"}),
            (accounts.resume, {"anna", "ben"}),
            (accounts.remove, {"ben"}),
        ):
            with ledger.begin() as connection:
                action(connection, "anna", datetime.now(UTC))
            await within(20, partial(all_have, running, eligible))


async def test_what_one_process_notices_all_know_within_two_seconds(ledger: Engine) -> None:
    async with process(ledger) as one, process(ledger) as other:
        one.router.failed("anna", Failure(401, "invalid_api_key"), time())
        assert set(one.router.snapshot().grades) == {"ben"}
        await within(20, lambda: set(other.router.snapshot().grades) == {"ben"})
    with ledger.connect() as connection:
        statuses = {m.account.id: (m.status, m.reason) for m in read_fleet(connection).members}
    assert statuses["anna"] == ("reauth_required", "invalid_api_key")


async def test_a_reset_that_has_come_is_written_down(ledger: Engine) -> None:
    async with process(ledger, refresh=0.1) as one:
        one.router.failed("anna", Failure(429, "usage_limit_reached", resets_at=int(time()) + 2), time())

        def status() -> str:
            with ledger.connect() as connection:
                return {m.account.id: m.status for m in read_fleet(connection).members}["anna"]

        await within(20, lambda: status() == "quota_exceeded")
        await within(20, lambda: status() == "active")
        assert "anna" in one.router.snapshot().grades


async def test_an_unchanged_ledger_is_read_once(ledger: Engine) -> None:
    async with process(ledger) as one:
        first = one.router.snapshot()
        await asyncio.sleep(1.2)
        assert one.router.snapshot() is first


async def test_a_ledger_that_cannot_be_read_leaves_the_accounts_in_use(
    ledger: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    async with process(ledger, refresh=0.1) as one:
        path = Path(str(ledger.url.database))
        ledger.dispose()
        path.rename(path.with_suffix(".away"))
        for extra in path.parent.glob("usage.db-*"):
            extra.unlink()
        await within(20, lambda: "accounts cannot be read" in caplog.text)
        assert set(one.router.snapshot().grades) == {"anna", "ben"}
        ledger.dispose()
        path.unlink(missing_ok=True)
        path.with_suffix(".away").rename(path)
        ledger.dispose()


async def test_an_account_whose_credential_is_not_here_is_left_out_here_alone(
    ledger: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ledger.begin() as connection:
        accounts.add(connection, Description("carl", f"file:{tmp_path}/key"), datetime.now(UTC))
    async with process(ledger, refresh=0.1) as one:
        assert one.router.snapshot().standings["carl"] == Standing("auth")
        await within(20, lambda: "account 'carl': cannot read" in caplog.text)
        await asyncio.sleep(1.2)
        (tmp_path / "key").write_text("key")
        await within(20, lambda: one.router.snapshot().standings["carl"] is None)
    assert caplog.text.count("account 'carl'") == 1
    with ledger.connect() as connection:
        assert {m.status for m in read_fleet(connection).members} == {"active"}


async def test_a_fault_in_here_ends_nothing_and_is_told_once(
    ledger: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """A time that is none, as another program might have written it."""
    async with process(ledger, refresh=0.1) as one:
        with ledger.begin() as connection:
            connection.execute(text("UPDATE accounts SET credential_renewed_at = 'never' WHERE id = 'anna'"))
        await within(20, lambda: "those of before stay in use" in caplog.text)
        await asyncio.sleep(1.2)
        assert caplog.text.count("those of before stay in use") == caplog.text.count("Traceback") == 1
        with ledger.begin() as connection:
            connection.execute(text("UPDATE accounts SET credential_renewed_at = NULL, status = 'paused'"))
        await within(20, lambda: not one.router.snapshot().grades)


async def test_conversations_are_shared(ledger: Engine) -> None:
    now = datetime.now(UTC)
    StayStore(ledger)([Stay("k", "anna", now)], again=False)
    router = Router(Rules(Weights()), Counting(Metrics(metrics.FAMILIES), "db"), lambda _: None)
    async with vault(KEY="key") as held:
        watch = Watch(ledger, router, held, CurrentPrices(BOOK), refresh_seconds=60.0, sticky_hours=1.0)
        assert await watch.account_of("k") == "anna"
        assert await watch.account_of("other") is None
        with ledger.begin() as connection:
            sticky.keep(connection, [Stay("old", "anna", now - timedelta(hours=1, seconds=1))])
        assert await watch.account_of("old") is None
        await watch.look()
    with ledger.connect() as connection:
        assert sticky.find(connection, "old", now - timedelta(days=9)) is None
