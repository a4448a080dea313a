"""Responses over a WebSocket: frames pass unchanged, each turn is an event."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from simulator.provider.upstream import serve


def completed(number: int) -> dict[str, Any]:
    usage = {
        "input_tokens": 100 * number,
        "input_tokens_details": {"cached_tokens": 10},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 100 * number + 7,
    }
    return {
        "type": "response.completed",
        "response": {"id": f"resp_{number}", "model": "gpt-5.4", "status": "completed", "usage": usage},
    }


@asynccontextmanager
async def websocket_upstream(
    close_in_turn: int = 0, hang_in_turn: int = 0
) -> AsyncIterator[tuple[str, list[Any]]]:
    """A provider that answers each `response.create` with a delta and its counts."""
    heard: list[Any] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        heard.append(dict(request.headers))
        ws = web.WebSocketResponse(compress=True)
        await ws.prepare(request)
        turn = 0
        async for message in ws:
            heard.append(message.data)
            if message.type is WSMsgType.TEXT and "response.create" in message.data:
                turn += 1
                await ws.send_str(json.dumps({"type": "response.output_text.delta", "delta": "naïve"}))
                if turn == close_in_turn:
                    break
                if turn == hang_in_turn:
                    continue
                await ws.send_str(json.dumps(completed(turn), ensure_ascii=False))
            elif message.type is WSMsgType.BINARY:
                await ws.send_bytes(message.data[::-1])
        await ws.close()
        return ws

    app = web.Application()
    app.router.add_get("/v1/responses", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", heard
    finally:
        await runner.cleanup()


HEADERS = {"Authorization": "Bearer sk-socket-0123456789", "session_id": "conversation-1"}


async def test_each_turn_is_an_event(start_proxy: Any) -> None:
    async with websocket_upstream() as (origin, heard):
        proxy = await start_proxy(origin)
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            async with session.ws_connect(proxy.base_url + "/responses", compress=15) as ws:
                for number in (1, 2, 3):
                    await ws.send_json({"type": "response.create", "model": "gpt-5.4", "input": "hi"})
                    assert (await ws.receive_json())["delta"] == "naïve"
                    assert await ws.receive_json() == completed(number)
                large = bytes(range(256)) * 4_000
                await ws.send_bytes(large)
                assert (await ws.receive_bytes()) == large[::-1]
        assert heard[0]["Authorization"] == HEADERS["Authorization"]
        assert "Sec-WebSocket-Extensions" not in heard[0]
        rows = proxy.rows()
    assert [row["input_tokens"] for row in rows] == [100, 200, 300]
    for row in rows:
        assert (row["status"], row["end_reason"], row["api"]) == ("success", "done", "responses")
        assert (row["output_tokens"], row["cached_input_tokens"], row["reasoning_tokens"]) == (7, 10, 3)
        assert row["session_id"] == "conversation-1"
        assert row["latency_first_token_ms"] is not None
        assert row["request_kind"] == "normal"


async def test_a_turn_that_the_provider_cuts_is_an_error(start_proxy: Any) -> None:
    async with websocket_upstream(close_in_turn=2) as (origin, _):
        proxy = await start_proxy(origin)
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            async with session.ws_connect(proxy.base_url + "/responses") as ws:
                for _ in range(2):
                    await ws.send_json({"type": "response.create", "model": "gpt-5.4"})
                types = [message.type async for message in ws]
        assert WSMsgType.TEXT in types
        await asyncio.sleep(0.2)
        rows = proxy.rows()
    assert [(row["status"], row["end_reason"]) for row in rows] == [
        ("success", "done"),
        ("error", "upstream_error"),
    ]


async def test_a_client_that_leaves_in_a_turn_is_cancelled(start_proxy: Any) -> None:
    async with websocket_upstream(hang_in_turn=2) as (origin, _):
        proxy = await start_proxy(origin)
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            ws = await session.ws_connect(proxy.base_url + "/responses")
            for _ in range(2):
                await ws.send_json({"type": "response.create", "model": "gpt-5.4"})
            for _ in range(3):  # delta, counts, delta
                await ws.receive_json()
            ws._response.close()
        await asyncio.sleep(0.2)
        rows = proxy.rows()
    assert [(row["status"], row["end_reason"]) for row in rows] == [
        ("success", "done"),
        ("cancelled", "client_gone"),
    ]


async def test_an_upstream_without_websocket_says_so_to_the_client(start_proxy: Any) -> None:
    async with serve() as upstream:
        proxy = await start_proxy(upstream.base_url)
        async with aiohttp.ClientSession(headers=HEADERS) as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(proxy.base_url + "/responses")
            assert 400 <= refused.value.status < 500
            async with session.post(
                proxy.base_url + "/responses", json={"model": "gpt-5.4", "input": "hi"}
            ) as answer:
                assert answer.status == 200
        rows = proxy.rows()
    assert [row["http_status"] for row in rows] == [refused.value.status, 200]
