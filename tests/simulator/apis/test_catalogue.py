"""The official client reads every answer, streamed and not, and finds the script's numbers in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from ledger.values import Usage
from simulator.provider.apis import chat, completions, embeddings, responses
from simulator.provider.apis.call import Call
from simulator.provider.apis.catalogue import APIS
from simulator.provider.script import Answer, script
from simulator.provider.upstream import Upstream, serve

USAGE = Usage(1_200, 345, 1_000, 300)
ANSWER = Answer(usage=USAGE, model="gpt-5.5-2026-04-23", service_tier="priority", events=3)
ASK: dict[str, Any] = {"model": "gpt-5.5"}
Client = Callable[[Upstream], AsyncOpenAI]


async def test_chat_completion(client: Client) -> None:
    async with serve(script(ANSWER)) as upstream:
        answer = await client(upstream).chat.completions.create(model="gpt-5.5", messages=[])
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.completion_tokens_details is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (1_200, 345)
    assert answer.usage.prompt_tokens_details.cached_tokens == 1_000
    assert answer.usage.completion_tokens_details.reasoning_tokens == 300
    assert answer.usage.total_tokens == 1_545
    assert (answer.model, answer.service_tier) == ("gpt-5.5-2026-04-23", "priority")
    assert answer.choices[0].message.content == "naïve naïve naïve "


async def test_chat_stream_with_usage(client: Client) -> None:
    async with serve(script(ANSWER)) as upstream:
        chunks = [
            chunk
            async for chunk in await client(upstream).chat.completions.create(
                model="gpt-5.5", messages=[], stream=True, stream_options={"include_usage": True}
            )
        ]
        sent = upstream.log[0].sent
    *others, last = chunks
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 1_545
    assert [c.choices[0].delta.content for c in others] == ["", "naïve ", "naïve ", "naïve ", None]
    assert others[-1].choices[0].finish_reason == "stop"
    assert sent.count(b'"usage":null') == len(others)
    assert sent.endswith(b"data: [DONE]\n\n")


async def test_chat_stream_tells_no_usage_unasked(client: Client) -> None:
    async with serve(script(ANSWER)) as upstream:
        stream = await client(upstream).chat.completions.create(model="gpt-5.5", messages=[], stream=True)
        assert all([chunk.usage is None async for chunk in stream])
        assert b"usage" not in upstream.log[0].sent
        assert upstream.log[0].usage == Usage()


async def test_completion(client: Client) -> None:
    async with serve(script(ANSWER)) as upstream:
        openai = client(upstream)
        whole = await openai.completions.create(model="gpt-5.5", prompt="x")
        stream = await openai.completions.create(
            model="gpt-5.5", prompt="x", stream=True, stream_options={"include_usage": True}
        )
        pieces = [piece async for piece in stream]
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 345
    assert whole.choices[0].text == "".join(p.choices[0].text for p in pieces if p.choices)
    assert pieces[-1].usage == whole.usage


async def test_response(client: Client) -> None:
    async with serve(script(ANSWER)) as upstream:
        answer = await client(upstream).responses.create(
            model="gpt-5.5", input="x", reasoning={"effort": "high"}
        )
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (1_200, 345)
    assert answer.usage.input_tokens_details.cached_tokens == 1_000
    assert answer.usage.output_tokens_details.reasoning_tokens == 300
    assert answer.output_text == "naïve naïve naïve "
    assert answer.reasoning is not None
    assert (answer.reasoning.effort, answer.service_tier) == ("high", "priority")


async def test_response_stream(client: Client) -> None:
    async with serve(script(ANSWER)) as upstream:
        stream = await client(upstream).responses.create(model="gpt-5.5", input="x", stream=True)
        events = [event async for event in stream]
    assert [e.type for e in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [e.sequence_number for e in events] == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.usage is not None
    assert last.response.usage.total_tokens == 1_545


@pytest.mark.parametrize("ending", ["incomplete", "failed"])
async def test_a_response_that_does_not_complete_still_tells_usage(client: Client, ending: Any) -> None:
    async with serve(script(Answer(usage=USAGE, ending=ending))) as upstream:
        stream = await client(upstream).responses.create(model="gpt-5.5", input="x", stream=True)
        last = [event async for event in stream][-1]
    assert last.type == f"response.{ending}"
    response = last.response  # type: ignore[union-attr]
    assert response.status == ending
    assert response.usage is not None
    assert response.usage.output_tokens == 345
    assert (response.error is not None) == (ending == "failed")
    assert (response.incomplete_details is not None) == (ending == "incomplete")


async def test_embeddings(client: Client) -> None:
    async with serve(script(Answer(usage=Usage(77)))) as upstream:
        answer = await client(upstream).embeddings.create(model="text-embedding-3-small", input=["a", "b"])
        assert upstream.log[0].usage == Usage(77, 0)
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (77, 77)
    assert len(answer.data) == 2
    assert all(isinstance(x, float) for x in answer.data[0].embedding)
    assert len(answer.data[0].embedding) == embeddings.DIMENSIONS


async def test_models(client: Client) -> None:
    async with serve() as upstream:
        assert "gpt-5.5" in [model.id async for model in client(upstream).models.list()]


async def test_a_stored_response_is_read_again(client: Client) -> None:
    async with serve(script(ANSWER)) as upstream:
        openai = client(upstream)
        first = await openai.responses.create(model="gpt-5.5", input="x")
        again = await openai.responses.retrieve(first.id)
        entry = upstream.log[-1]
    assert again.usage == first.usage
    assert again.output_text == first.output_text
    assert (entry.number, entry.api, entry.path) == (None, "responses", f"/v1/responses/{first.id}")


def test_messages_count_cached_input_apart() -> None:
    body = APIS["/v1/messages"].body(Call(0, ASK, ANSWER))
    assert body["usage"]["input_tokens"] == 200
    assert body["usage"]["cache_read_input_tokens"] == 1_000
    assert body["usage"]["output_tokens"] == 345


@pytest.mark.parametrize("path", APIS)
def test_what_a_stream_tells_last_is_what_the_whole_answer_tells(path: str) -> None:
    api = APIS[path]
    call = Call(0, {**ASK, "stream_options": {"include_usage": True}}, ANSWER)
    if api.events is not None:
        assert [e.tells for e in api.events(call) if e.tells][-1] == api.told(call)
    assert api.told(call).input_tokens == 1_200


@pytest.mark.parametrize("path", APIS)
def test_without_usage_no_answer_tells_any(path: str) -> None:
    api = APIS[path]
    call = Call(
        0, {**ASK, "stream_options": {"include_usage": True}}, Answer(usage=USAGE, reports_usage=False)
    )
    assert api.body(call).get("usage") is None
    assert api.told(call) == Usage()
    if api.events is not None:
        data = b"".join(e.data for e in api.events(call))
        assert b"345" not in data
        assert [e.tells for e in api.events(call) if e.tells is not None] == []


def test_bodies_satisfy_the_clients_models_to_the_letter() -> None:
    """The client builds its models without validation; here they are validated."""
    call = Call(3, {**ASK, "stream_options": {"include_usage": True}}, ANSWER)
    ChatCompletion.model_validate(chat.body(call))
    Completion.model_validate(completions.body(call))
    Response.model_validate(responses.body(call))
    CreateEmbeddingResponse.model_validate(embeddings.body(call))
    for event in chat.events(call):
        if event.data != b"data: [DONE]\n\n":
            ChatCompletionChunk.model_validate_json(event.data.removeprefix(b"data: "))
