"""What is old is forgotten while a real proxy writes, by command and by the proxy itself."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

import aiohttp
import pytest
from sqlalchemy import func, select

from ledger.requests.writes import record
from ledger.schema import request_hourly, request_rows
from ledger.store import sqlite_url, writer
from ledger.upkeep import retention
from ledger.upkeep.checking import check
from proxy.observers.messages import Task
from proxy.writer import Writer
from simulator.provider.script import Answer, script
from simulator.provider.upstream import serve
from tests.proxy.test_process import USAGE, ask, rows
from tests.support.ledgers import migrated

if TYPE_CHECKING:
    from tests.proxy.conftest import MakeEvent, Program, Scene

ROOT = Path(__file__).parents[3]
PRUNE = (
    "import sys\nfrom ledger.upkeep import retention\nretention.SETTLE_SECONDS = 0\n"
    "from ledger.__main__ import main\nsys.exit(main(['prune', '--config', sys.argv[1]], {}))"
)


def fill(database: Path, make_event: MakeEvent, number: int) -> None:
    """Requests that are a hundred days old."""
    engine = migrated(database)
    begin = datetime.now(UTC) - timedelta(days=100)
    with engine.begin() as connection:
        record(connection, [make_event(requested_at=begin + timedelta(minutes=n)) for n in range(number)])
    engine.dispose()


def counted(database: Path) -> tuple[int, int, bool]:
    """Rows, what the sums count, and whether all fits."""
    engine = writer(sqlite_url(database))
    try:
        with engine.connect() as connection:
            stored = connection.execute(select(func.count()).select_from(request_rows)).scalar_one()
            sums = connection.execute(select(func.sum(request_hourly.c.requests))).scalar_one()
        return stored, sums, check(engine, mend=False).sound
    finally:
        engine.dispose()


async def test_pruning_while_a_real_proxy_writes(
    program: Callable[..., Awaitable[Program]], tmp_path: Path, make_event: MakeEvent
) -> None:
    fill(tmp_path / "usage.db", make_event, 3_000)
    answered = 0
    async with serve(script(Answer(usage=USAGE))) as upstream, aiohttp.ClientSession() as session:
        kept = {"storage.retention": {"requests": "30d"}}
        running = await program(upstream.origin, storage={"flush_interval_seconds": 0.05}, **kept)
        done = asyncio.Event()

        async def load_it(first: int) -> int:
            number = first
            while not done.is_set():
                await ask(running, session, number)
                number += 1
            return number - first

        clients = [asyncio.create_task(load_it(n * 100_000)) for n in range(3)]
        command = (sys.executable, "-c", PRUNE, str(tmp_path / "proxy.toml"))
        pruning = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        said, _ = await pruning.communicate()
        done.set()
        answered = sum(await asyncio.gather(*clients))
        running.process.terminate()
        assert await running.ended() == 0
    assert said.decode().startswith("3000 requests and 0 sums by hour forgotten")
    assert answered > 10
    assert len(rows(running)) == answered
    assert counted(running.database) == (answered, 3_000 + answered, True)


async def test_a_proxy_forgets_by_itself(
    scene: Scene, tmp_path: Path, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "usage.db", make_event, 300)
    for name in ("FIRST_SECONDS", "SETTLE_SECONDS"):
        monkeypatch.setattr(retention, name, 0.0)
    await scene.begin(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", storage={"retention": {"requests": "30d"}}
    )
    async with asyncio.timeout(30):
        while (found := await asyncio.to_thread(counted, tmp_path / "usage.db"))[0]:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert found == (0, 300, True)


def test_a_writer_process_forgets_for_its_proxy(
    tmp_path: Path, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "usage.db"
    fill(database, make_event, 300)
    for name in ("FIRST_SECONDS", "SETTLE_SECONDS"):
        monkeypatch.setattr(retention, name, 0.0)
    own = Writer(Task(str(sqlite_url(database)), 30, keep_requests=30))
    deadline = monotonic() + 30
    while (found := counted(database))[0] and monotonic() < deadline:
        sleep(0.1)
    own.close()
    assert found == (0, 300, True)
