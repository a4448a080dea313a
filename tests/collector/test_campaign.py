"""Whatever dies, and whenever: each event is in the ledger once, or within a recorded gap."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.collector.conftest import until
from tests.support.collected import KEY, Campaign, Verdict, reasons, under_fire
from tests.support.gateway.records import CALLER_KEYS, PROVIDER_KEYS
from tests.support.gateway.server import Gateway


def judged(verdict: Verdict) -> None:
    assert verdict.twice == ()
    assert verdict.unexplained == ()
    assert verdict.stored > verdict.published / 3  # gaps that hold everything would explain everything


@pytest.mark.parametrize(("way", "seed"), [("auto", 11), ("resp", 12), ("http", 13)])
async def test_kill_9_at_random_moments(tmp_path: Path, way: str, seed: int) -> None:
    async with Gateway(key=KEY) as gateway:
        verdict = await under_fire(Campaign(tmp_path, gateway, way, seed), 3)
    judged(verdict)
    assert reasons(verdict.gaps)["crash"] >= 1


async def test_kill_9_and_the_gateway_restarting(tmp_path: Path) -> None:
    async with Gateway(key=KEY) as gateway:
        verdict = await under_fire(Campaign(tmp_path, gateway, seed=21), 3, restarts=0.4)
    judged(verdict)


async def running(campaign: Campaign) -> asyncio.Task[None]:
    await campaign.start()
    await until(lambda: bool(campaign.gateway.queue.subscribers))
    return asyncio.create_task(campaign.publishing())


async def ended(campaign: Campaign, publishing: asyncio.Task[None], began: float) -> Verdict:
    campaign.quiet()
    await publishing
    await campaign.settled()
    assert await campaign.end() == 0
    return campaign.verdict(began)


async def test_a_full_disk(tmp_path: Path) -> None:
    """No file can grow for a while: events wait in memory, and all of them come when there is room."""
    async with Gateway(key=KEY) as gateway:
        campaign, began = Campaign(tmp_path, gateway), time.time()
        publishing = await running(campaign)
        await asyncio.sleep(0.5)
        campaign.limit_file_size(1)
        await until(lambda: campaign.said("waits in memory"))
        await asyncio.sleep(1.5)
        campaign.limit_file_size(None)
        await until(lambda: campaign.said("the inbox can be written again"))
        verdict = await ended(campaign, publishing, began)
    assert verdict.twice == verdict.missing == ()


async def test_a_full_disk_that_outlasts_the_memory(tmp_path: Path) -> None:
    async with Gateway(key=KEY, send_buffer=4_096) as gateway:
        campaign, began = Campaign(tmp_path, gateway, rate=400), time.time()
        text = campaign.config.read_text()
        campaign.config.write_text(text.replace("poll_seconds", "max_waiting = 256\npoll_seconds"))
        publishing = await running(campaign)
        await asyncio.sleep(0.3)
        campaign.limit_file_size(1)
        await until(lambda: gateway.queue.lost > 0, 60)
        campaign.limit_file_size(None)
        await until(lambda: bool(gateway.queue.subscribers), 60)
        verdict = await ended(campaign, publishing, began)
    judged(verdict)
    assert verdict.missing
    assert reasons(verdict.gaps)["overflow"] == 1


async def test_a_slow_disk(tmp_path: Path) -> None:
    """A commit takes seconds: somebody else holds the file's lock."""
    async with Gateway(key=KEY) as gateway:
        campaign, began = Campaign(tmp_path, gateway), time.time()
        publishing = await running(campaign)
        for _ in range(3):
            await asyncio.to_thread(_hold, tmp_path / "inbox.db", 1.0)
        verdict = await ended(campaign, publishing, began)
    assert verdict.twice == verdict.missing == ()


async def test_a_locked_ledger(tmp_path: Path) -> None:
    async with Gateway(key=KEY) as gateway:
        campaign, began = Campaign(tmp_path, gateway), time.time()
        publishing = await running(campaign)
        await until(lambda: (tmp_path / "usage.db").exists())
        await asyncio.sleep(0.5)
        await asyncio.to_thread(_hold, tmp_path / "usage.db", 7.0)  # longer than anybody waits for it
        assert campaign.said("events wait in the inbox")
        verdict = await ended(campaign, publishing, began)
    assert verdict.twice == verdict.missing == ()


async def test_killed_while_the_ledger_is_locked(tmp_path: Path) -> None:
    async with Gateway(key=KEY) as gateway:
        campaign, began = Campaign(tmp_path, gateway), time.time()
        publishing = await running(campaign)
        await asyncio.sleep(0.5)
        holding = asyncio.create_task(asyncio.to_thread(_hold, tmp_path / "usage.db", 4.0))
        await asyncio.sleep(1.0)
        await campaign.end(signal.SIGKILL)
        await campaign.start()
        await holding
        await until(lambda: bool(gateway.queue.subscribers))
        verdict = await ended(campaign, publishing, began)
    judged(verdict)


async def test_no_clear_key_is_ever_on_the_disk(tmp_path: Path) -> None:
    async with Gateway(key=KEY) as gateway:
        campaign = Campaign(tmp_path, gateway, rate=400)
        publishing = await running(campaign)
        await asyncio.sleep(1)
        await campaign.end(signal.SIGKILL)  # what lies there then is what was written, journals included
        campaign.quiet()
        await publishing
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(found["inbox.db"]) + len(found["inbox.db-wal"]) > 10_000
    for secret in (*CALLER_KEYS, *PROVIDER_KEYS, KEY, "ck-never-to-be-seen-0123456789"):
        assert [name for name, data in found.items() if secret.encode() in data] == []


def _hold(path: Path, seconds: float) -> None:
    connection = sqlite3.connect(path, timeout=10, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(seconds)
    connection.execute("COMMIT")
    connection.close()
