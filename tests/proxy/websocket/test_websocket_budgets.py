"""Turns on a WebSocket are paid from a budget as requests are: each by itself, before it goes out."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

KEY = "sk-proxy-team-0001"
CREATE = {"type": "response.create", "model": "m", "max_output_tokens": 1_000}
CENT = {"input_tokens": 0, "output_tokens": 1_000}


@dataclass
class Provider:
    """Answers each turn while it may.

    Attributes:
        usage: what a turn reports.
        asked: the turns that came.
        lenient: whatever comes is a turn.
    """

    origin: str = ""
    usage: dict[str, int] | None = field(default_factory=lambda: dict(CENT))
    asked: int = 0
    lenient: bool = False
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            if self.lenient or json.loads(message.data)["type"] == "response.create":
                self.asked += 1
                await self.go_on.wait()
                done = {"type": "response.completed", "response": {"model": "m", "usage": self.usage}}
                await ws.send_json(done)
        return ws


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    provider.go_on.set()
    app = web.Application()
    app.router.add_get("/v1/responses", provider.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    provider.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield provider
    provider.go_on.set()
    await runner.cleanup()


Connect = Callable[[], Awaitable[aiohttp.ClientWebSocketResponse]]


@pytest.fixture
async def clients(start_proxy: Any, provider: Provider) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Starts a proxy whose caller has a daily budget; gives it, and what connects to it."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())

        async def start(daily: str) -> tuple[Any, Connect]:
            proxy = await start_proxy(
                provider.origin,
                openai_api_key="sk-upstream",
                pricing={"models": {"m": {"prompt_per_1m": 0, "completion_per_1m": 10}}},
                proxy_keys={"team": {"sha256": hashlib.sha256(KEY.encode()).hexdigest(), "daily_usd": daily}},
            )

            async def connect() -> aiohttp.ClientWebSocketResponse:
                headers = {"Authorization": f"Bearer {KEY}"}
                return await stack.enter_async_context(
                    session.ws_connect(f"{proxy.base_url}/responses", headers=headers)
                )

            return proxy, connect

        yield start


async def end_of(ws: aiohttp.ClientWebSocketResponse) -> tuple[int, str]:
    """The code and the reason with which a connection ends."""
    message = await ws.receive(timeout=20)
    assert message.type is WSMsgType.CLOSE, message
    return int(message.data), str(message.extra)


def charged(proxy: Any) -> tuple[float, float]:
    """Dollars by counts, and by estimate."""
    samples = proxy.samples()
    family = 'codex_lb_proxy_budget_charged_usd_total{api_key="team",basis="%s"}'
    return round(samples[family % "metered"], 9), round(samples[family % "estimated"], 9)


async def test_each_turn_is_charged_until_nothing_is_left(clients: Any, provider: Provider) -> None:
    proxy, connect = await clients("0.03")
    ws = await connect()
    for number in range(3):
        await ws.send_json(CREATE)
        assert (await ws.receive_json(timeout=20))["type"] == "response.completed"
        assert charged(proxy) == (round(0.01 * (number + 1), 9), 0.0)
    await ws.send_json(CREATE)
    code, reason = await end_of(ws)
    assert (code, reason.partition(":")[0]) == (1013, "budget_exceeded")
    assert provider.asked == 3
    with pytest.raises(aiohttp.WSServerHandshakeError) as again:
        await connect()
    assert again.value.status == 429


async def test_what_a_turn_has_reserved_no_other_connection_gets(clients: Any, provider: Provider) -> None:
    _, connect = await clients("0.01")
    first, second = await connect(), await connect()
    provider.go_on.clear()
    await first.send_json(CREATE)
    deadline = monotonic() + 5
    while not provider.asked:
        assert monotonic() < deadline
        await asyncio.sleep(0.01)
    await second.send_json({"type": "response.processed"})  # no turn: it passes
    await second.send_json(CREATE)
    code, reason = await end_of(second)
    assert (code, reason.partition(":")[0]) == (1013, "budget_reserved")
    assert provider.asked == 1
    provider.go_on.set()
    assert (await first.receive_json(timeout=20))["type"] == "response.completed"


async def test_a_turn_without_counts_is_charged_by_estimate(clients: Any, provider: Provider) -> None:
    provider.usage = None
    proxy, connect = await clients("0.01")
    ws = await connect()
    await ws.send_json(CREATE)
    await ws.receive_json(timeout=20)
    assert charged(proxy) == (0.0, 0.01)
    await ws.send_json(CREATE)
    assert (await end_of(ws))[0] == 1013


async def test_a_turn_that_its_client_leaves_is_charged_by_estimate(clients: Any, provider: Provider) -> None:
    proxy, connect = await clients("0.05")
    ws = await connect()
    provider.go_on.clear()
    await ws.send_json(CREATE)
    deadline = monotonic() + 5
    while not provider.asked:
        assert monotonic() < deadline
        await asyncio.sleep(0.01)
    ws._writer.transport.abort()
    while charged(proxy) != (0.0, 0.01):
        assert monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_while_the_ledger_does_not_answer_no_connection_begins(
    clients: Any, provider: Provider
) -> None:
    proxy, connect = await clients("1")
    lock = sqlite3.connect(proxy.database, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await connect()
    assert refused.value.status == 503
    lock.rollback()
    lock.close()


async def test_a_turn_that_is_asked_for_in_another_way_is_none(clients: Any, provider: Provider) -> None:
    _, connect = await clients("1")
    ws = await connect()
    await ws.send_json(CREATE)
    assert (await ws.receive_json(timeout=20))["type"] == "response.completed"
    await ws.send_bytes(json.dumps(CREATE).encode())
    await ws.send_json(CREATE)
    code, reason = await end_of(ws)
    assert (code, reason.partition(":")[0]) == (1013, "not_within_a_budget")
    assert provider.asked == 1


@pytest.mark.parametrize(
    "asked",
    [
        '{"Type": "response.create", "model": "m"}',
        '{"model": "m"}',
        '\ufeff{"type": "response.create", "model": "m"}',
        '[{"type": "response.create", "model": "m"}]',
        '{"type": "response.create", "model": "m", "type": "other"}',
        '{"type": "other", "t\\u0079pe": "response.cre\\u0061te", "type": "other"}',
    ],
)
async def test_a_turn_that_its_provider_alone_understands_is_charged(
    clients: Any, provider: Provider, asked: str
) -> None:
    proxy, connect = await clients("1")
    provider.lenient = True
    ws = await connect()
    await ws.send_str(asked)
    assert (await ws.receive_json(timeout=20))["type"] == "response.completed"
    deadline = monotonic() + 5
    while not charged(proxy)[0]:
        assert monotonic() < deadline
        await asyncio.sleep(0.01)
    assert charged(proxy) == (0.01, 0.0)


@pytest.mark.parametrize("path", ["/realtime?model=m", "/audio", "/responses/resp_1", "//realtime"])
async def test_turns_that_are_not_counted_are_not_for_a_key_with_a_budget(clients: Any, path: str) -> None:
    proxy, _ = await clients("1")
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{proxy.base_url}{path}")
    assert refused.value.status == 403
