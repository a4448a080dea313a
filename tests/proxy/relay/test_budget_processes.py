"""A budget across real processes on one ledger: a crowd that comes at once spends what is there and no
more, and what a killed process held comes back."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy import func, select, update
from sqlalchemy.engine import URL

from ledger import store
from ledger.accounts.allowances import NANO_PER_USD
from ledger.schema import key_holds, key_spend, request_logs

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
KEY = "sk-proxy-team-0001"
WORKERS = 8
LOCKED_SECONDS = 8
COST = Decimal("0.099")
"""Of each request: 9,900 tokens at ten dollars a million."""

CONFIG = """
[server]
listen_addr = "127.0.0.1:{port}"
upstream_base_url = "http://127.0.0.1:{provider}"
workers = {workers}
shutdown_timeout_seconds = 1
[storage]
{storage}
[pricing.models.m]
prompt_per_1m = 0
completion_per_1m = 10
[proxy_keys.team]
sha256 = "{digest}"
daily_usd = 1.00
"""


@dataclass
class Provider:
    """Answers each request with the same counts, while it may.

    Attributes:
        asked: requests that arrived.
    """

    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    port: int = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        self.asked += 1
        await self.go_on.wait()
        return web.json_response({"model": "m", "usage": {"input_tokens": 0, "output_tokens": 9_900}})


@asynccontextmanager
async def providing() -> AsyncIterator[Provider]:
    provider = Provider()
    runner = web.ServerRunner(web.Server(provider.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    provider.port = int(runner.addresses[0][1])
    try:
        yield provider
    finally:
        provider.go_on.set()
        await runner.cleanup()


@asynccontextmanager
async def workers(
    folder: Path, port: int, provider: Provider, url: URL, number: int = 2
) -> AsyncIterator[Process]:
    """The program with its workers, all of them listening."""
    config = folder / "proxy.toml"
    where = url.render_as_string(hide_password=False)
    config.write_text(
        CONFIG.format(
            port=port,
            provider=provider.port,
            workers=number,
            storage=f'database_url = "{where.replace("+psycopg", "")}"',
            digest=hashlib.sha256(KEY.encode()).hexdigest(),
        )
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OPENAI_API_KEY": "sk-upstream"}
    with (folder / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "--config", str(config)),
            cwd=folder,  # where the outbox is
            env=environ,
            stdout=PIPE,
            stderr=log,
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(90):
            for _ in range(number):
                assert b"proxy: http://" in await process.stdout.readline(), (folder / "log").read_text()
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()


async def ask(port: int, **members: Any) -> int:
    """The status of one request, on a connection of its own."""
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
        session.post(f"http://127.0.0.1:{port}/v1/responses", json={"model": "m", **members}) as answer,
    ):
        await answer.read()
        return answer.status


def dollars(url: URL, table: Any) -> Decimal:
    engine = store.reader(url)
    with engine.connect() as connection:
        found = connection.execute(select(func.coalesce(func.sum(table.c.nano_usd), 0))).scalar()
    engine.dispose()
    return Decimal(int(found or 0)) / NANO_PER_USD


def logged(url: URL) -> int:
    """Requests that the log has as successful."""
    engine = store.reader(url)
    with engine.connect() as connection:
        rows = select(func.count()).where(request_logs.c.status == "success")
        found = connection.execute(rows).scalar()
    engine.dispose()
    return int(found or 0)


async def until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = monotonic() + seconds
    while not true():
        assert monotonic() < deadline, "what was awaited does not come"
        await asyncio.sleep(0.1)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    if request.param == "sqlite":
        return store.sqlite_url(tmp_path / "usage.db")
    found: URL = request.getfixturevalue("postgres_url")
    return found


async def test_two_hundred_at_once_on_the_last_cent(
    tmp_path: Path, free_port: Callable[[], int], url: URL
) -> None:
    port = free_port()
    async with providing() as provider, workers(tmp_path, port, provider, url, WORKERS) as process:
        provider.go_on.set()
        for _ in range(10):
            assert await ask(port) == 200
        await until(lambda: dollars(url, key_spend) == 10 * COST)
        await until(lambda: dollars(url, key_holds) == 0)  # nobody holds on to what is left
        provider.go_on.clear()
        asking = [asyncio.create_task(ask(port)) for _ in range(200)]
        await until(lambda: sum(task.done() for task in asking) >= 199)
        provider.go_on.set()
        found = Counter(await asyncio.gather(*asking))
        assert found == {200: 1, 429: 199}  # a cent is left: one more may begin, on one of eight processes
        assert provider.asked == 11
        await until(lambda: dollars(url, key_spend) == 11 * COST and logged(url) == 11)

        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == WORKERS


async def test_what_a_killed_process_held_comes_back(
    tmp_path: Path, free_port: Callable[[], int], url: URL
) -> None:
    port = free_port()
    async with providing() as provider, workers(tmp_path, port, provider, url) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        running = asyncio.create_task(ask(port, max_output_tokens=100_000))  # all of the budget
        await until(lambda: provider.asked == 1)
        assert await ask(port) == 429
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        with pytest.raises(aiohttp.ClientError):
            await running
        assert dollars(url, key_holds) == 1
        engine = store.writer(url)
        with engine.begin() as connection:  # a minute later
            connection.execute(update(key_holds).values(expires_at=key_holds.c.expires_at - 61))
        engine.dispose()
        provider.go_on.set()

        async def served() -> bool:
            try:
                return await ask(port, max_output_tokens=100) == 200
            except aiohttp.ClientError:
                return False  # the workers are being replaced

        deadline = monotonic() + 60
        while not await served():
            assert monotonic() < deadline
            await asyncio.sleep(0.2)


async def test_a_ledger_that_is_locked_for_long_lends_no_money(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port, url = free_port(), store.sqlite_url(tmp_path / "usage.db")
    async with providing() as provider, workers(tmp_path, port, provider, url):
        provider.go_on.set()
        for _ in range(10):
            assert await ask(port) == 200
        await until(lambda: dollars(url, key_spend) == 10 * COST)
        lock = sqlite3.connect(tmp_path / "usage.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        found: Counter[int] = Counter()
        deadline = monotonic() + LOCKED_SECONDS
        while monotonic() < deadline:
            found.update(await asyncio.gather(*(ask(port) for _ in range(8))))
            await asyncio.sleep(0.1)
        lock.rollback()
        lock.close()
        assert set(found) == {503}
        assert provider.asked == 10

        async def served() -> bool:
            return await ask(port) == 200

        deadline = monotonic() + 20
        while not await served():
            assert monotonic() < deadline
            await asyncio.sleep(0.1)
        await until(lambda: dollars(url, key_spend) == 11 * COST)
