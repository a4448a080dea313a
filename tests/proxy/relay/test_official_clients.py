"""The official clients of OpenAI and Anthropic through a real proxy: they get what they expect, and what they
used is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import openai

from ledger.values import Usage
from simulator.provider.script import Answer, script
from simulator.provider.upstream import serve

if TYPE_CHECKING:
    from tests.proxy.conftest import Proxy, StartProxy

USAGE = Usage(1_200, 345, 1_000, 300, 150, 50)
PLAY = script(Answer(usage=USAGE))
COLUMNS = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "streamed",
)


def rows(proxy: Proxy) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in COLUMNS) for row in proxy.rows()]


async def test_openais_client(start_proxy: StartProxy) -> None:
    async with serve(PLAY) as upstream:
        proxy = await start_proxy(upstream.base_url)
        headers = {"X-Project": "search", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
        async with openai.AsyncOpenAI(
            base_url=proxy.base_url, api_key="sk-0123456789", default_headers=headers, max_retries=0
        ) as client:
            chat = await client.chat.completions.create(
                model="gpt-5.5", messages=[{"role": "user", "content": "hello"}], service_tier="flex"
            )
            assert chat.usage is not None
            assert chat.usage.prompt_tokens == 1_200
            stream = await client.chat.completions.create(
                model="gpt-5.5",
                messages=[{"role": "user", "content": "hello"}],
                stream=True,
                stream_options={"include_usage": True},
            )
            assert [chunk.usage.prompt_tokens async for chunk in stream if chunk.usage] == [1_200]
            answer = await client.responses.create(model="gpt-5.5", input="hello")
            assert answer.usage is not None
            assert answer.usage.output_tokens == 345
            async with client.responses.stream(model="gpt-5.5", input="hello") as events:
                final = await events.get_final_response()
            assert final.usage is not None
            await client.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
        found = proxy.rows()
    assert rows(proxy) == [
        (1_200, 345, 1_000, None, None, False),
        (1_200, 345, 1_000, None, None, True),
        (1_200, 345, 1_000, 150, None, False),
        (1_200, 345, 1_000, 150, None, True),
        (1_200, 0, None, None, None, False),
    ]
    assert {row["project"] for row in found} == {"search"}
    assert {row["trace_id"] for row in found} == {"ab" * 16}
    assert {row["provider"] for row in found} == {"openai"}
    assert found[0]["requested_service_tier"] == "flex"


async def test_anthropics_client(start_proxy: StartProxy) -> None:
    async with serve(PLAY) as upstream:
        proxy = await start_proxy(upstream.base_url)
        headers = {"X-Claude-Code-Session-Id": "5e55-1"}
        async with anthropic.AsyncAnthropic(
            base_url=proxy.origin, api_key="sk-ant-0123456789", default_headers=headers, max_retries=0
        ) as client:
            asked: dict[str, Any] = {
                "model": "claude-opus-4-6",
                "max_tokens": 100,
                "messages": [{"role": "user", "content": "hello"}],
            }
            message = await client.messages.create(**asked)
            assert message.usage.cache_creation_input_tokens == 200
            async with client.messages.stream(**asked) as events:
                final = await events.get_final_message()
            assert final.usage.output_tokens == 345
        found = proxy.rows()
    assert rows(proxy) == [(1_200, 345, 1_000, 150, 50, False), (1_200, 345, 1_000, 150, 50, True)]
    assert {row["session_id"] for row in found} == {"5e55-1"}
    assert {row["provider"] for row in found} == {"anthropic"}
