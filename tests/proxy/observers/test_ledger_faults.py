"""The ledger cannot be written: requests go on, events wait in a bounded buffer, writing resumes by itself.

The database is real, and so are its errors: another connection holds its lock, its pages are limited, it
is made read-only, or its folder goes away.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, Engine, event, func, select

from ledger import store
from ledger.schema import daily_stats

if TYPE_CHECKING:
    from tests.proxy.conftest import Line, Scene, Wire

ANSWER = b'{"model": "gpt-5.4", "usage": {"input_tokens": 10, "output_tokens": 3}}'
STORAGE: dict[str, Any] = {"flush_interval_seconds": 0.15, "buffer_size": 100}
WAITING = "codex_lb_request_log_buffer_size"
DROPPED = "codex_lb_request_log_buffer_dropped_total"


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """The engines that proxies open; a lock of somebody else is waited for a moment only."""
    opened: list[Engine] = []
    open_writer = partial(store.writer, busy_timeout_seconds=0.05)

    def writer(*arguments: Any) -> Engine:
        opened.append(open_writer(*arguments))
        return opened[-1]

    monkeypatch.setattr(store, "writer", writer)
    return opened


@contextmanager
def pragma(engine: Engine, broken: str, mended: str) -> Iterator[None]:
    """SQLite's own switch on every transaction of an engine, turned back at the end."""
    setting = [broken]

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA {setting[0]}")

    event.listen(engine, "begin", begin)
    try:
        yield
    finally:
        setting[0] = mended


@contextmanager
def locked(scene: Scene) -> Iterator[None]:
    with closing(sqlite3.connect(scene.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def ask(client: Line, wire: type[Wire], count: int) -> None:
    for _ in range(count):
        await client.send(wire.request())
        assert (await client.message()).body == ANSWER


async def ready(scene: Scene, wire: type[Wire]) -> int:
    answer = await scene.ask(wire.request(b"", path="/readyz", method="GET"))
    return int(answer.start.split()[1])


def check_totals(scene: Scene, stored: int) -> None:
    """Rows, daily sums and metrics tell the same of all that was stored."""
    samples = scene.proxy.samples()
    dropped = int(samples[DROPPED])
    requests = 'codex_lb_proxy_requests_total{api="responses",model="gpt-5.4",status="success"}'
    tokens = 'codex_lb_proxy_tokens_total{kind="output",model="gpt-5.4"}'
    assert samples[requests] == stored + dropped
    assert samples[tokens] == 3 * (stored + dropped)
    engine = store.reader(store.sqlite_url(scene.database))
    with engine.connect() as connection:
        days = connection.execute(
            select(func.sum(daily_stats.c.requests), func.sum(daily_stats.c.output_tokens))
        ).one()
    assert tuple(days) == (stored, 3 * stored)


async def outage(scene: Scene, wire: type[Wire], fault: Any, many: int = 30) -> None:
    """Two requests, an outage with many, and two more: all of them are stored in the end."""
    client = await scene.connect()
    await ask(client, wire, 2)
    await scene.rows(2)
    with fault:
        begun = perf_counter()
        await ask(client, wire, many)
        assert perf_counter() - begun < many / 15, "requests do not wait for the ledger"
        await scene.until(lambda: not scene.proxy.service.instruments.writers.events.healthy)
        assert 0 < scene.proxy.samples()[WAITING] <= many
        assert await ready(scene, wire) == 503
    await scene.until(lambda: scene.proxy.service.instruments.writers.events.healthy)
    await ask(client, wire, 2)
    await scene.until(lambda: len(scene.proxy.rows()) == many + 4)
    assert await ready(scene, wire) == 200
    assert scene.proxy.samples()[DROPPED] == 0
    check_totals(scene, many + 4)


async def test_locked(scene: Scene, wire: type[Wire], engines: list[Engine]) -> None:
    await scene.begin(wire.answer(ANSWER), storage=STORAGE)
    await outage(scene, wire, locked(scene))


async def test_read_only(scene: Scene, wire: type[Wire], engines: list[Engine]) -> None:
    await scene.begin(wire.answer(ANSWER), storage=STORAGE)
    await outage(scene, wire, pragma(engines[-1], "query_only=ON", "query_only=OFF"))


async def test_disk_full(scene: Scene, wire: type[Wire], engines: list[Engine]) -> None:
    await scene.begin(wire.answer(ANSWER), storage=STORAGE)
    with closing(sqlite3.connect(scene.database)) as other:
        other.execute("PRAGMA incremental_vacuum").fetchall()  # what the migrations left free
        pages = other.execute("PRAGMA page_count").fetchone()[0]
    await outage(scene, wire, pragma(engines[-1], f"max_page_count={pages}", "max_page_count=1000000"), 90)


async def test_overflow_drops_the_newest_and_counts_them(
    scene: Scene, wire: type[Wire], engines: list[Engine]
) -> None:
    await scene.begin(wire.answer(ANSWER), storage=STORAGE)
    client = await scene.connect()
    with locked(scene):
        await ask(client, wire, 120)
        await scene.until(lambda: scene.proxy.samples()[DROPPED] == 20)
        assert scene.proxy.samples()[WAITING] == 100
    await scene.until(lambda: scene.proxy.service.instruments.writers.events.waiting == 0)
    assert len(await scene.rows(100)) == 100
    check_totals(scene, 100)


async def test_the_folder_is_moved_away_and_back(
    scene: Scene, wire: type[Wire], engines: list[Engine]
) -> None:
    scene.database = scene.database.parent / "folder" / "usage.db"
    scene.database.parent.mkdir()
    await scene.begin(wire.answer(ANSWER), storage=STORAGE)
    client = await scene.connect()
    await ask(client, wire, 2)
    await scene.rows(2)
    aside = scene.database.parent.with_name("aside")
    scene.database.parent.rename(aside)
    await ask(client, wire, 30)
    aside.rename(scene.database.parent)
    await ask(client, wire, 2)
    await scene.rows(34)
    check_totals(scene, 34)


async def test_the_folder_is_removed(scene: Scene, wire: type[Wire], engines: list[Engine]) -> None:
    """What is written into a deleted file is lost: it must be noticed, not taken for stored."""
    scene.database = scene.database.parent / "folder" / "usage.db"
    scene.database.parent.mkdir()
    await scene.begin(wire.answer(ANSWER), storage=STORAGE)
    client = await scene.connect()
    await ask(client, wire, 2)
    await scene.rows(2)
    shutil.rmtree(scene.database.parent)
    await ask(client, wire, 30)
    await scene.until(lambda: not scene.proxy.service.instruments.writers.events.healthy)
    assert scene.proxy.samples()[WAITING] == 30


async def test_what_cannot_be_stored_before_the_end_is_told(
    scene: Scene, wire: type[Wire], engines: list[Engine], caplog: pytest.LogCaptureFixture
) -> None:
    await scene.begin(wire.answer(ANSWER), storage=STORAGE)
    client = await scene.connect()
    with locked(scene):
        await ask(client, wire, 3)
        await scene.end()
    assert "3 finished requests could not be stored" in caplog.text
