"""`python -m proxy` as it is run: signals, a crash under load, and a disk that is full."""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ledger.values import Usage
from simulator.provider.script import Answer, Pace, script
from simulator.provider.upstream import serve

if TYPE_CHECKING:
    from tests.proxy.conftest import Program

Start = Callable[..., Awaitable["Program"]]
USAGE = Usage(100, 20, 40, 5)
WAITING = "codex_lb_request_log_buffer_size"
QUESTION = {"model": "gpt-5.4", "input": "hi"}


def rows(program: Program) -> list[sqlite3.Row]:
    with closing(sqlite3.connect(program.database)) as connection:
        connection.row_factory = sqlite3.Row
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return connection.execute("SELECT * FROM request_logs ORDER BY id").fetchall()


def day_totals(program: Program) -> tuple[int, int]:
    with closing(sqlite3.connect(program.database)) as connection:
        return connection.execute("SELECT sum(requests), sum(output_tokens) FROM daily_stats").fetchone()  # type: ignore[no-any-return]


async def counted(program: Program, session: aiohttp.ClientSession, name: str) -> float:
    async with session.get(f"http://127.0.0.1:{program.port}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


async def ask(program: Program, session: aiohttp.ClientSession, number: int) -> None:
    url = f"http://127.0.0.1:{program.port}/v1/responses"
    async with session.post(url, json=QUESTION, headers={"x-request-id": f"r{number}"}) as answer:
        await answer.read()
        assert answer.status == 200


async def test_sigterm_lets_a_running_stream_finish_and_loses_nothing(program: Start) -> None:
    slow = Answer(usage=USAGE, events=10, pace=Pace(between=0.05))
    async with serve(script(slow)) as upstream, aiohttp.ClientSession() as session:
        running = await program(upstream.origin)
        url = f"http://127.0.0.1:{running.port}/v1/responses"
        async with session.post(url, json={**QUESTION, "stream": True}) as answer:
            await answer.content.readany()
            running.process.terminate()
            with pytest.raises(aiohttp.ClientConnectorError):
                while True:
                    await asyncio.sleep(0.02)
                    async with aiohttp.ClientSession() as another, another.get(url):
                        pass
            received = await answer.read()
        assert await running.ended() == 0
    assert b"response.completed" in received
    (row,) = rows(running)
    assert (row["status"], row["end_reason"], row["output_tokens"]) == ("success", "done", 20)
    assert running.log.read_text().count("status=success") == 1


async def settled(running: Program) -> set[str]:
    """The stored requests, once the writer process has stored what it had received."""
    found: set[str] = set()
    while len(now := {row["request_id"] for row in rows(running)}) > len(found):
        found = now
        await asyncio.sleep(0.5)
    return found


async def test_a_crash_under_load_costs_at_most_one_flush_interval(program: Start) -> None:
    interval = 0.3
    answered: dict[str, float] = {}
    async with serve(script(Answer(usage=USAGE))) as upstream, aiohttp.ClientSession() as session:
        running = await program(upstream.origin, storage={"flush_interval_seconds": interval})

        async def load(first: int) -> None:
            with suppress(aiohttp.ClientError):
                for number in range(first, first + 100_000):
                    await ask(running, session, number)
                    answered[f"r{number}"] = monotonic()

        clients = [asyncio.create_task(load(n * 100_000)) for n in range(4)]
        async with asyncio.timeout(30):
            began = monotonic()
            while len(answered) < 200 or monotonic() < began + 12 * interval:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        running.process.kill()
        killed = monotonic()
        await asyncio.gather(*clients)
        await running.ended()
        stored = await settled(running)
        slack = 2.0  # for the write itself, and for two busy cores
        missing = [killed - at for name, at in answered.items() if name not in stored]
        assert max(missing, default=0.0) < interval + slack
        assert day_totals(running) == (len(stored), 20 * len(stored))

        again = await program(upstream.origin)
        await ask(again, session, -1)
        again.process.send_signal(signal.SIGINT)
        assert await again.ended() == 0
        assert len(rows(again)) == len(stored) + 1


async def test_a_full_disk_delays_the_ledger_and_nothing_else(program: Start) -> None:
    """The kernel refuses every byte beyond the files' present size, and later takes them again."""
    async with serve(script(Answer(usage=USAGE))) as upstream, aiohttp.ClientSession() as session:
        running = await program(upstream.origin, storage={"flush_interval_seconds": 0.15})
        await ask(running, session, 0)
        writer = await asyncio.to_thread(writer_of, running)
        limits: Any = resource.prlimit(writer, resource.RLIMIT_FSIZE)
        resource.prlimit(writer, resource.RLIMIT_FSIZE, (4_096, limits[1]))
        for number in range(1, 41):
            await ask(running, session, number)

        async def is_told() -> bool:
            async with session.get(f"http://127.0.0.1:{running.port}/readyz") as answer:
                return answer.status == 503

        await eventually(is_told)
        assert await counted(running, session, WAITING) > 0
        resource.prlimit(writer, resource.RLIMIT_FSIZE, limits)

        async def nothing_waits() -> bool:
            return not await counted(running, session, WAITING)

        await eventually(nothing_waits)
        requests = await counted(running, session, "codex_lb_proxy_requests_total")
        assert await counted(running, session, "codex_lb_request_log_buffer_dropped_total") == 0
        running.process.terminate()
        assert await running.ended() == 0
    assert len(rows(running)) == requests == 41
    assert day_totals(running) == (41, 41 * 20)


def writer_of(program: Program) -> int:
    """The process that writes to the ledger; any of the proxy's threads may have started it."""
    deadline = monotonic() + 30
    while True:
        tasks = Path(f"/proc/{program.process.pid}/task").glob("*/children")
        children = [int(pid) for task in tasks for pid in task.read_text().split()]
        if children:
            (child,) = children
            return child
        assert monotonic() < deadline
        sleep(0.02)


async def eventually(true: Callable[[], Awaitable[object]]) -> None:
    for _ in range(200):
        if await true():
            return
        await asyncio.sleep(0.05)
    pytest.fail("what was awaited does not come")
