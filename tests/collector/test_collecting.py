"""From a gateway's queue to the ledger, by each way."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import URL, inspect, select

from collector.inbox import Inbox, Receipt, Transport
from collector.service import Service
from collector.transport.gateway import Gateway as GatewayLine
from ledger import store
from ledger.schema import request_logs
from settings.model import Settings
from tests.collector.conftest import KEY, Scene, until
from tests.support.gateway.server import Gateway


@pytest.mark.parametrize("way", ["subscribe", "resp", "http"])
async def test_what_was_queued_and_what_comes_then_is_stored_once(
    scene: Scene, gateway: Gateway, way: str
) -> None:
    scene.publish(gateway, 30)
    async with scene.collecting(gateway, table={"transport": way}) as service:
        await until(lambda: service.gateways[0].status.connected)
        assert service.gateways[0].status.transport == way
        scene.publish(gateway, 40)
        await scene.all_stored()
    assert {row["source"] for row in scene.rows()} == {"collector"}
    assert {row["gateway"] for row in scene.rows()} == {"cpa"}


async def test_the_best_way_is_taken(scene: Scene, gateway: Gateway) -> None:
    async with scene.collecting(gateway) as service:
        await until(lambda: service.gateways[0].status.transport == "subscribe")
        assert gateway.queue.subscribers


async def test_a_gateway_without_subscriptions_is_polled(scene: Scene) -> None:
    async with Gateway(old=True) as gateway, scene.collecting(gateway) as service:
        await until(lambda: service.gateways[0].status.transport == "resp")
        scene.publish(gateway, 5)
        await scene.all_stored()


async def test_behind_a_reverse_proxy_http_is_left(scene: Scene) -> None:
    async with Gateway(behind_proxy=True) as gateway, scene.collecting(gateway) as service:
        await until(lambda: service.gateways[0].status.transport == "http")
        scene.publish(gateway, 5)
        await scene.all_stored()
        assert not [attempt for attempt in gateway.access.attempts if not attempt[1]]


async def test_it_returns_to_the_better_way_by_itself(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.transport.gateway.RETURN_SECONDS", 0.3)
    async with Gateway(behind_proxy=True) as gateway, scene.collecting(gateway) as service:
        await until(lambda: service.gateways[0].status.transport == "http")
        scene.publish(gateway, 3)
        gateway.behind_proxy = False
        await until(lambda: service.gateways[0].status.transport == "subscribe")
        scene.publish(gateway, 3)
        await scene.all_stored()


@pytest.mark.parametrize("way", ["subscribe", "resp", "http"])
async def test_nothing_more_is_popped_before_what_came_is_on_the_disk(
    scene: Scene, gateway: Gateway, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[tuple[int, int, int]] = []
    append = Inbox.append

    def slowly(inbox: Inbox, receipts: Sequence[Receipt], also: Any = None) -> int:
        before = len(gateway.queue)
        time.sleep(0.02)  # a pop that does not wait for this one happens now
        done = append(inbox, receipts, also)
        if receipts:
            waiting.append((len(receipts), before, len(gateway.queue)))
        return done

    monkeypatch.setattr(Inbox, "append", slowly)
    scene.publish(gateway, 45)
    async with scene.collecting(gateway, batch_size=10, table={"transport": way}):
        await scene.all_stored()
    assert waiting == [(10, 35, 35), (10, 25, 25), (10, 15, 15), (10, 5, 5), (5, 0, 0)]


@pytest.mark.parametrize("lacks", ["behind_proxy", "old"])
async def test_a_way_that_does_not_work_there_is_no_gap(
    scene: Scene, lacks: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried at the start and again and again, and nothing is handed out by it. It is said once."""
    monkeypatch.setattr("collector.transport.gateway.RETURN_SECONDS", 0.1)
    ways: list[str] = []
    collect = GatewayLine._collect

    async def counted(line: GatewayLine, way: Transport) -> None:
        ways.append(way)
        await collect(line, way)

    monkeypatch.setattr(GatewayLine, "_collect", counted)
    async with Gateway(**{lacks: True}) as gateway:  # type: ignore[arg-type]
        scene.publish(gateway, 3)
        async with scene.collecting(gateway) as service:
            await until(lambda: ways.count("subscribe") >= 4)
            scene.publish(gateway, 3)
            await scene.all_stored()
            await until(lambda: service.gateways[0].status.connected)
            assert len([one for one in caplog.records if one.levelname == "WARNING"]) == 1
        async with scene.collecting(gateway):
            await until(lambda: ways.count("subscribe") >= 6)
    with closing(sqlite3.connect(scene.inbox_path)) as inbox:
        assert inbox.execute("SELECT reason, began_at, ended_at FROM gaps").fetchall() == []


async def test_several_gateways_side_by_side(scene: Scene, gateway: Gateway) -> None:
    async with Gateway(key="other-key-2") as other:
        second = {"second": {"url": other.url, "key": "env:OTHER_KEY"}}
        settings = scene.settings(gateway).model_dump(mode="json", exclude_none=True)
        settings["collector"]["gateways"] |= second
        service = Service(
            Settings.model_validate(settings), environ={"CPA_KEY": KEY, "OTHER_KEY": "other-key-2"}
        )
        async with service:
            scene.publish(gateway, 4)
            scene.publish(other, 6)
            await scene.all_stored()
    assert sorted(row["gateway"] for row in scene.rows()) == ["cpa"] * 4 + ["second"] * 6


async def test_the_gateway_restarting_is_survived(scene: Scene, gateway: Gateway) -> None:
    async with scene.collecting(gateway) as service:
        await until(lambda: service.gateways[0].status.connected)
        scene.publish(gateway, 5)
        await scene.all_stored()
        await gateway.restart(0.2)
        await until(lambda: bool(gateway.queue.subscribers))
        scene.publish(gateway, 5)
        await scene.all_stored()


async def test_into_a_ledger_on_postgresql(scene: Scene, gateway: Gateway, postgres_url: URL) -> None:
    settings = scene.settings(gateway)
    shown = postgres_url.render_as_string(hide_password=False)
    storage = settings.storage.model_copy(update={"database_url": shown})
    service = Service(settings.model_copy(update={"storage": storage}), environ={"CPA_KEY": KEY})
    engine = store.reader(postgres_url)

    def stored() -> list[str]:
        with engine.connect() as connection:
            if not inspect(connection).has_table("request_rows"):
                return []
            return sorted(connection.execute(select(request_logs.c.request_id)).scalars())

    async with service:
        scene.publish(gateway, 20)
        await until(lambda: service.gateways[0].status.connected)
        scene.publish(gateway, 20)
        await until(lambda: len(stored()) == 40)
    assert stored() == sorted(scene.published)
    engine.dispose()


async def test_tries_become_rarer(scene: Scene, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def pause(stop: asyncio.Event, seconds: float) -> bool:
        waits.append(seconds)
        await asyncio.sleep(0)
        if len(waits) == 7:
            stop.set()
        return stop.is_set()

    monkeypatch.setattr("collector.transport.gateway.pause", pause)
    await gateway.stop()
    async with scene.collecting(gateway):
        await until(lambda: len(waits) >= 7)
    assert waits[:7] == [1, 2, 4, 8, 16, 30, 30]
