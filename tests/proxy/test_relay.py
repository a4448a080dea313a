"""Requests through a real proxy to a real upstream: bytes, counts, errors."""

from __future__ import annotations

import json
import socket
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI

from ledger.values import Usage
from simulator.provider.script import Answer, Script
from simulator.provider.upstream import serve

USAGE = Usage(1200, 340, 200, 40)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "question"),
    [
        ("/v1/responses", {"model": "gpt-5.4", "input": "hi"}),
        ("/v1/chat/completions", {"model": "gpt-5.4", "messages": [{"role": "user", "content": "hi"}]}),
    ],
)
async def test_the_client_receives_the_bytes_that_the_upstream_sent(
    start_proxy: Any, path: str, question: dict[str, Any], stream: bool
) -> None:
    async with serve(Script((Answer(usage=USAGE), Answer(usage=USAGE)))) as upstream:
        proxy = await start_proxy(upstream.base_url)
        body = {**question, "stream": stream}
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            async with session.post(proxy.origin + path, json=body) as through:
                received = await through.read()
        sent = upstream.log[0]
        assert received == sent.sent
        assert through.status == sent.status
        assert sent.received == json.dumps(body).encode()


async def test_the_official_client_is_metered(start_proxy: Any) -> None:
    answer = Answer(usage=USAGE, model="gpt-5.4-2026-03-05")
    async with serve(Script((answer,) * 4 + (Answer(usage=USAGE),))) as upstream:
        proxy = await start_proxy(upstream.base_url)
        async with AsyncOpenAI(base_url=proxy.base_url, api_key="sk-test-0123456789abcd") as client:
            await client.responses.create(model="gpt-5.4", input="hi")
            async with client.responses.stream(model="gpt-5.4", input="hi") as stream:
                async for _ in stream:
                    pass
            question: Any = {"model": "gpt-5.4", "messages": [{"role": "user", "content": "hi"}]}
            await client.chat.completions.create(**question)
            options: Any = {"include_usage": True}
            async for _ in await client.chat.completions.create(
                **question, stream=True, stream_options=options
            ):
                pass
            await client.embeddings.create(model="text-embedding-3-small", input="hi")
        rows = proxy.rows()
    assert [row["api"] for row in rows] == ["responses"] * 2 + ["chat_completions"] * 2 + ["embeddings"]
    for row in rows[:4]:
        counts = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")
        assert tuple(row[name] for name in counts) == (1200, 340, 200, 40)
        assert row["status"] == "success"
        assert row["end_reason"] == "done"
        assert row["model"] == "gpt-5.4-2026-03-05"
        assert row["api_key_id"] == "sk-t...abcd"
    assert [row["latency_first_token_ms"] is not None for row in rows] == [False, True, False, True, False]
    samples = proxy.samples()
    assert samples['codex_lb_proxy_tokens_total{kind="input",model="gpt-5.4-2026-03-05"}'] == 4 * 1200
    # (1000 * 2.5 + 200 * 0.25 + 340 * 15) / 1e6 for each of four
    assert samples['codex_lb_proxy_cost_usd_total{model="gpt-5.4-2026-03-05"}'] == pytest.approx(4 * 0.00765)
    assert proxy.service.instruments.writers.events.waiting == 0


async def test_an_unreachable_upstream_is_a_502_that_clients_understand(
    start_proxy: Any, free_port: Any
) -> None:
    port = free_port()
    proxy = await start_proxy(f"http://127.0.0.1:{port}")
    async with aiohttp.ClientSession() as session:
        async with session.post(proxy.origin + "/v1/responses", json={"model": "gpt-5.4"}) as answer:
            document = await answer.json()
    assert answer.status == 502
    assert document["error"]["code"] == "upstream_unreachable"
    assert f"127.0.0.1:{port}" in document["error"]["message"]
    (row,) = proxy.rows()
    assert (row["status"], row["http_status"], row["end_reason"]) == ("error", 502, "upstream_error")
    assert row["model"] == "gpt-5.4"


async def test_an_upstream_that_has_no_address_is_said_in_the_resolver_s_words(start_proxy: Any) -> None:
    proxy = await start_proxy("http://nowhere.invalid:1")
    async with aiohttp.ClientSession() as session:
        async with session.post(proxy.origin + "/v1/responses", json={"model": "gpt-5.4"}) as answer:
            message = (await answer.json())["error"]["message"]
    with pytest.raises(OSError) as found:
        socket.getaddrinfo("nowhere.invalid", 1)
    assert message == f"Quotascope: cannot reach nowhere.invalid:1: {found.value.strerror}"


async def test_a_path_outside_is_not_forwarded(start_proxy: Any) -> None:
    async with serve() as upstream:
        proxy = await start_proxy(upstream.base_url)
        async with aiohttp.ClientSession() as session:
            async with session.get(proxy.origin + "/elsewhere") as answer:
                document = await answer.json()
        assert answer.status == 404
        assert "/v1/" in document["error"]["message"]
        assert upstream.log == ()
    assert proxy.rows() == []
