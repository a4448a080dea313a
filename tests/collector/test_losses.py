"""What others take away, and what expired, is a gap; who the accounts are; gateways that speak TLS."""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme
from sqlalchemy import inspect, select

from collector.service import Service
from ledger.gateways import gaps as stored_gaps
from ledger.gateways.values import GatewayGap
from ledger.schema import accounts
from tests.collector.conftest import Scene, until
from tests.support.gateway.server import Gateway


def gaps(scene: Scene) -> Sequence[GatewayGap]:
    """What the ledger has been told of."""
    now = datetime.now(UTC)
    with scene.reader().connect() as connection:
        if not inspect(connection).has_table("collector_gaps"):
            return ()
        return stored_gaps.between(connection, now - timedelta(hours=1), now)


async def connected(service: Service) -> None:
    await until(lambda: service.gateways[0].status.connected)


async def test_a_second_consumer_is_noticed(
    scene: Scene, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway counts, and nothing comes here: somebody else pops the queue."""
    monkeypatch.setattr("collector.transport.gateway.WATCH_SECONDS", 0.05)
    async with scene.collecting(gateway, table={"transport": "resp"}) as service:
        await connected(service)
        status = service.gateways[0].status
        gateway.count(success=9)
        await asyncio.sleep(0.3)
        assert status.second_consumer is None  # nine say nothing
        gateway.count(success=3)
        await until(lambda: status.second_consumer is not None)
        (gap,) = await found_gaps(scene, "second_consumer")
        assert gap.ended_at is not None
        assert "something else takes them off its queue" in (status.second_consumer or "")
        scene.publish(gateway)
        gateway.count(success=1)
        await until(lambda: status.second_consumer is None)


async def found_gaps(scene: Scene, reason: str, number: int = 1) -> Sequence[GatewayGap]:
    """Those of a reason, as soon as the ledger has so many."""
    await until(lambda: len([gap for gap in gaps(scene) if gap.reason == reason]) >= number)
    return [gap for gap in gaps(scene) if gap.reason == reason]


async def test_others_who_subscribe_while_nobody_collects_leave_a_gap(scene: Scene, gateway: Gateway) -> None:
    """While anybody subscribes nothing is queued, so an end in order alone does not keep events for us."""
    async with scene.collecting(gateway) as service:
        await connected(service)
    other = gateway.queue.subscribe("usage")
    for _ in range(12):
        gateway.queue.publish(b'{"theirs":true}')
    gateway.count(success=12)
    gateway.queue.unsubscribe(other)
    async with scene.collecting(gateway) as service:
        await connected(service)
        (gap,) = await found_gaps(scene, "second_consumer")
        said = service.gateways[0].status.second_consumer or ""
    assert gap.ended_at is not None
    assert "counted 12 requests while nobody collected here, and 12 of them never came" in said
    assert "streams of Codex were left by their clients" in said  # which looks the same from here


async def test_what_waited_in_the_queue_is_no_loss(scene: Scene, gateway: Gateway) -> None:
    async with scene.collecting(gateway) as service:
        await connected(service)
        scene.publish(gateway, 15)
        gateway.count(success=15)
        await scene.all_stored()
    scene.publish(gateway, 20)
    gateway.count(success=20)
    async with scene.collecting(gateway):
        await scene.all_stored()
        await asyncio.sleep(0.2)
    assert [gap for gap in gaps(scene) if gap.reason == "second_consumer"] == []


async def test_what_expired_in_the_queue_is_within_a_gap(scene: Scene, gateway: Gateway) -> None:
    async with scene.collecting(gateway) as service:
        await connected(service)
        scene.publish(gateway)
        await scene.all_stored()
    with sqlite3.connect(scene.inbox_path) as inbox:  # as if that had been two minutes ago
        inbox.execute("UPDATE gateways SET stopped_at = stopped_at - 120, sound_at = sound_at - 120")
    inbox.close()
    scene.publish(gateway, 3)  # what the queue still has; it keeps a minute
    lost_at = time.time() - 90
    async with scene.collecting(gateway):
        await scene.all_stored()
        (gap,) = await found_gaps(scene, "retention")
    assert gap.ended_at is not None
    assert gap.began_at.timestamp() <= lost_at <= gap.ended_at.timestamp() <= time.time() - 59


def listed(**changed: Any) -> dict[str, Any]:
    return {
        "auth_index": "a93eb3a823e71961",
        "name": "codex-carla.json",
        "email": "carla@example.org",
        "id_token": {"plan_type": "pro"},
        **changed,
    }


async def test_accounts_have_the_names_that_the_gateway_lists(scene: Scene, gateway: Gateway) -> None:
    def account() -> Any:
        with scene.reader().connect() as connection:
            if not inspect(connection).has_table("accounts"):
                return None
            where = accounts.c.id == "cpa/a93eb3a823e71961"
            return connection.execute(select(accounts).where(where)).one_or_none()

    gateway.site.files.append(listed())
    async with scene.collecting(gateway) as service:
        await connected(service)
        scene.publish(gateway, 1, auth_index="a93eb3a823e71961")
        await scene.all_stored()
        await until(lambda: account() is not None)
        found = account()
        assert (found.email, found.alias, found.plan_type, found.status) == (
            *("carla@example.org", "codex-carla.json", "pro", "active"),
        )
        assert scene.rows()[0]["account_id"] == found.id
        gateway.site.files[0] = listed(disabled=True, id_token={"plan_type": "plus"})
        gateway.queue.refresh()  # "read it again", says the gateway on the channel
        await until(lambda: account().status == "paused", 30)
        assert account().plan_type == "plus"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.mark.parametrize("way", ["subscribe", "resp", "http"])
async def test_a_gateway_that_speaks_tls(scene: Scene, authority: trustme.CA, way: str) -> None:
    authority.cert_pem.write_to_path(str(scene.folder / "ca.pem"))
    table = {"transport": way, "ca_file": str(scene.folder / "ca.pem")}
    async with Gateway(tls=server_side(authority)) as gateway:
        assert gateway.url.startswith("https://")
        async with scene.collecting(gateway, table=table) as service:
            await connected(service)
            scene.publish(gateway, 10)
            await scene.all_stored()


async def test_a_gateway_whose_certificate_nobody_vouches_for_gets_no_key(
    scene: Scene, authority: trustme.CA
) -> None:
    async with Gateway(tls=server_side(authority)) as gateway:
        async with scene.collecting(gateway) as service:
            status = service.gateways[0].status
            await until(lambda: status.state == "unreachable")
            assert "certificate" in (status.problem or "")
            assert "\n" not in (status.problem or "")
        assert gateway.access.attempts == []


async def test_what_is_counted_never_falls(scene: Scene, gateway: Gateway) -> None:
    """Prometheus takes a counter that falls for one that began again, and counts all of it twice. How long a
    gap was, and why, is certain at its end alone."""
    before: dict[str, float] = {}
    seen = 0.0
    async with scene.collecting(gateway) as service:
        await connected(service)
        await gateway.stop()
        status, deadline = service.gateways[0].status, time.monotonic() + 60
        while not seen:
            now = _samples((await service.scrape())[0].decode())
            assert {name: value for name, value in now.items() if value < before.get(name, 0.0)} == {}
            seen = now['codex_lb_collector_gap_seconds_total{gateway="cpa",reason="restart"}']
            before = now
            if "Connect call failed" in (status.problem or "") and not gateway.is_serving:
                await gateway.start()
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
    assert before['codex_lb_collector_gaps_total{gateway="cpa",reason="restart"}'] == 1
    assert before['codex_lb_collector_gaps_total{gateway="cpa",reason="disconnected"}'] == 0


def _samples(text: str) -> dict[str, float]:
    """Every counter of a scrape."""
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines if "_total" in name}
