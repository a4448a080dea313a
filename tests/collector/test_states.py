"""What is in the way of a gateway's events is one clear line; a refused key is not tried again and again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import inspect, select

from collector.inbox import PENDING, Inbox
from collector.state import Refusals, save_refusals
from ledger.schema import accounts, collector_failures, collector_gateways
from tests.collector.conftest import KEY, Scene, until
from tests.support.gateway.records import encoded, trouble
from tests.support.gateway.server import Gateway

CASES = {
    "home": ({"home": True}, "governed by a Home"),
    "management_off": ({"key": None}, "no management key"),
    "too_old": ({"version": "6.10.7"}, "6.10.8 is the first"),
}


@pytest.mark.parametrize(("state", "case"), CASES.items())
async def test_a_gateway_that_cannot_be_collected_from(
    scene: Scene, state: str, case: tuple[dict[str, object], str]
) -> None:
    options, words = case
    async with Gateway(**options) as gateway, scene.collecting(gateway) as service:  # type: ignore[arg-type]
        status = service.gateways[0].status
        await until(lambda: status.state == state)
        assert words in (status.problem or "")
        assert "\n" not in (status.problem or "")
        assert words in (service.problem() or "")


async def test_a_refused_key_is_tried_once_a_minute_also_after_a_restart(
    scene: Scene, gateway: Gateway
) -> None:
    for _ in range(2):
        async with scene.collecting(gateway, key="wrong-key-0001") as service:
            await until(lambda: service.gateways[0].status.state in ("refused", "waiting"))
    assert [right for _, right in gateway.access.attempts] == [False]


async def test_a_changed_key_does_not_wait_for_the_old_ones_turn(
    scene: Scene, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.transport.login.FIRST_WAIT", 0.3)
    path = scene.folder / "gateway.key"
    path.write_text("wrong-key-0001")
    inbox = Inbox(scene.inbox_path)
    with inbox.transaction() as connection:
        save_refusals(connection, "cpa", Refusals(12, 0.0))  # so the next pause of this key is half an hour
    inbox.close()
    async with scene.collecting(gateway, table={"key": f"file:{path}"}) as service:
        await until(lambda: service.gateways[0].status.state == "waiting")
        path.write_text(KEY)
        await until(lambda: service.gateways[0].status.connected)
    assert [right for _, right in gateway.access.attempts][:2] == [False, True]


async def test_publishing_that_is_off_is_said(
    scene: Scene, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("collector.transport.gateway.WATCH_SECONDS", 0.1)
    gateway.site.publishing = False
    async with scene.collecting(gateway) as service:
        status = service.gateways[0].status
        await until(lambda: status.state == "publishing_off")
        assert "set usage-statistics-enabled to true" in (service.problem() or "")
        looked = len(gateway.access.attempts)
        await until(lambda: len(gateway.access.attempts) >= looked + 12)  # so it looked some times more
        assert caplog.text.count("set usage-statistics-enabled to true") == 1
        gateway.site.publishing = True
        await until(lambda: status.state == "collecting")
        assert service.problem() is None


async def test_metrics_and_ledger_agree_and_the_ledger_knows_the_state(
    scene: Scene, gateway: Gateway
) -> None:
    async with scene.collecting(gateway) as service:
        scene.publish(gateway, 60)
        await scene.all_stored()
        await until(lambda: not service.inbox.count(PENDING))
        text = (await service.scrape())[0].decode()
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    counted = sum(float(v) for name, v in lines if name.startswith("codex_lb_proxy_requests_total"))
    assert counted == len(scene.rows()) == 60
    with scene.reader().connect() as connection:
        row = connection.execute(select(collector_gateways)).one()
    assert (row.name, row.events) == ("cpa", 60)


async def test_the_errors_channel_tells_of_a_spent_quota(scene: Scene, gateway: Gateway) -> None:
    async with scene.collecting(gateway) as service:
        await until(lambda: service.gateways[0].status.connected and gateway.queue.error_subscribers)
        gateway.queue.publish_error(encoded(trouble("abc123", datetime.now(UTC))))

        def known() -> object:
            with scene.reader().connect() as connection:
                if not inspect(connection).has_table("accounts"):
                    return None
                return connection.execute(
                    select(accounts.c.status).where(accounts.c.id == "cpa/abc123")
                ).scalar()

        await until(lambda: known() == "quota_exceeded")
        with scene.reader().connect() as connection:
            failure = connection.execute(select(collector_failures)).one()
    assert (failure.code, failure.error_class, failure.http_status) == ("usage_limit_reached", "quota", 429)
