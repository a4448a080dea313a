"""PostgreSQL is away when a proxy starts: it serves, and catches up. What was spent meanwhile counts."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest
from alembic import command

from ledger import store
from ledger.accounts import changes
from ledger.accounts.configured import Description
from ledger.values import Usage
from simulator.provider.script import Answer, script
from simulator.provider.upstream import serve
from tests.proxy.observers.test_outbox import Server, eventually, migrated, server

__all__ = ["server"]

KEY = "sk-proxy-team-0001"
USAGE = Usage(0, 30_000, 0, 0)
COST = 300_000_000
"""Of each request, in 10^-9 dollars: 30,000 tokens at ten dollars a million."""

SPENT = "SELECT coalesce(sum(nano_usd), 0)::bigint, coalesce(sum(requests), 0)::bigint FROM key_spend"
ROWS = "SELECT count(*) FROM request_rows JOIN request_kinds k ON k.id = kind_id WHERE status = 'success'"


def sections(server: Server, folder: Path, **routing: Any) -> dict[str, dict[str, Any]]:
    (folder / "anna").write_text("sk-anna")
    return {
        "storage": {
            "database_url": server.url.render_as_string(),
            "outbox_path": str(folder / "outbox.db"),
            "flush_interval_seconds": 0.1,
        },
        "accounts.anna": {"credential": f"file:{folder / 'anna'}"},
        "pricing.models.m": {"prompt_per_1m": 0, "completion_per_1m": 10},
        "proxy_keys.team": {"sha256": hashlib.sha256(KEY.encode()).hexdigest(), "daily_usd": 1.0},
        "routing": routing,
    }


async def ask(port: int, key: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"http://127.0.0.1:{port}/v1/responses", json={"model": "m", "input": "hi"}) as answer,
    ):
        await answer.read()
        return answer.status


def has(server: Server, query: str, *expected: Any) -> Callable[[], Awaitable[bool]]:
    async def found() -> bool:
        try:
            return bool(await asyncio.to_thread(server.ask, query) == [expected])
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):  # the proxy makes it
            return False

    return found


@pytest.mark.parametrize("schema", [None, "0009"])
async def test_it_starts_without_its_database_and_brings_it_up_to_date_when_that_comes(
    schema: str | None, server: Server, program: Callable[..., Any], tmp_path: Path
) -> None:
    if schema is not None:
        engine = store.writer(server.url)
        with engine.begin() as connection:
            command.upgrade(store._alembic(connection), schema)
        engine.dispose()
    server.kill()
    async with serve(script(Answer(model="m", usage=USAGE))) as upstream:
        proxy = await program(upstream.origin, **sections(server, tmp_path))
        assert [await ask(proxy.port) for _ in range(5)] == [200] * 5
        assert {one.authorization for one in upstream.log} == {"...anna"}
        assert await ask(proxy.port, KEY) == 503  # money fails closed
        await asyncio.to_thread(server.start)  # no table is in it, or those of an earlier version
        await eventually(
            has(
                server,
                "SELECT count(*) FROM request_rows JOIN request_callers c"
                " ON c.id = caller_id WHERE account_id = 'anna'",
                5,
            )
        )
        assert await ask(proxy.port, KEY) == 200
        await eventually(has(server, SPENT, COST, 1))
        assert server.ask("SELECT id, status FROM accounts ORDER BY id") == [
            ("anna", "active"),
            ("default", "active"),
        ]
        proxy.process.terminate()
        assert await proxy.ended(30) == 0
    assert "the ledger is away" in proxy.log.read_text()


async def test_it_starts_with_the_accounts_that_it_knew(
    server: Server, program: Callable[..., Any], tmp_path: Path
) -> None:
    migrated(server.url)
    (tmp_path / "ben").write_text("sk-ben")
    engine = store.writer(server.url)
    with engine.begin() as connection:
        changes.add(connection, Description("ben", f"file:{tmp_path / 'ben'}"), datetime.now(UTC))
    engine.dispose()
    given = sections(server, tmp_path)
    del given["accounts.anna"]
    async with serve(script(Answer(model="m", usage=USAGE))) as upstream:
        proxy = await program(upstream.origin, **given)
        proxy.process.terminate()
        assert await proxy.ended(30) == 0
        server.kill()
        proxy = await program(upstream.origin, **given)
        assert await ask(proxy.port) == 200
        assert upstream.log[-1].authorization == "...-ben"


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
async def test_what_was_spent_while_it_was_away_counts_after_a_restart(
    ending: signal.Signals, server: Server, program: Callable[..., Any], tmp_path: Path
) -> None:
    given = sections(server, tmp_path, budget_without_ledger="allow")
    kept = tmp_path / "outbox.kept"

    async def written() -> bool:
        with closing(sqlite3.connect(kept)) as file:
            return bool(file.execute("SELECT sum(requests) FROM charges").fetchone() == (2,))

    async with serve(script(Answer(model="m", usage=USAGE))) as upstream:
        proxy = await program(upstream.origin, **given)
        assert [await ask(proxy.port, KEY) for _ in range(2)] == [200] * 2
        await eventually(has(server, SPENT, 2 * COST, 2))
        await eventually(has(server, ROWS, 2))
        await asyncio.to_thread(server.kill)
        assert [await ask(proxy.port, KEY) for _ in range(2)] == [200] * 2
        if ending == signal.SIGKILL:
            await eventually(written)
        proxy.process.send_signal(ending)
        await proxy.ended(30)
        await asyncio.to_thread(server.start)
        with (tmp_path / "outbox.db.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # nothing is shipped as long as this is held
            proxy = await program(upstream.origin, **given)
            assert await ask(proxy.port, KEY) == 429
            assert server.ask(SPENT) == [(4 * COST, 4)]
            assert server.ask(ROWS) == [(2,)]
        await eventually(has(server, ROWS, 4))
        assert await ask(proxy.port, KEY) == 429
        proxy.process.terminate()
        assert await proxy.ended(30) == 0
    assert server.ask(SPENT) == [(4 * COST, 4)]
