"""The client goes away: always one event, with what was learned until then, and never an error."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.proxy.conftest import Line, Scene, Wire

DELTA = {"type": "response.output_text.delta", "delta": "Hello"}
USAGE = {"input_tokens": 1200, "output_tokens": 340, "input_tokens_details": {"cached_tokens": 200}}
ANSWER = {"model": "gpt-5.4-2026-03-05", "usage": USAGE}
COMPLETED = {"type": "response.completed", "response": ANSWER}
COUNTED = {"type": "response.in_progress", "response": ANSWER}


async def leave(line: Line, how: str) -> None:
    if how == "reset":
        line.reset()
    else:
        await line.close()


def is_cancelled(row: dict[str, Any]) -> bool:
    return (row["status"], row["end_reason"], row["error_code"]) == ("cancelled", "client_gone", None)


async def begin(scene: Scene, wire: type[Wire], *documents: dict[str, Any]) -> list[bytes]:
    """An upstream that sends the head and these events of a stream, and then waits for the proxy to leave.

    Returns: a list into which comes what the proxy still sent until it left.
    """
    left: list[bytes] = []

    async def play(line: Line) -> None:
        await line.message()
        await line.send(wire.stream() + (wire.chunk(wire.events(*documents)) if documents else b""))
        left.append(await line.rest())

    await scene.begin(play)
    return left


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_before_headers(scene: Scene, wire: type[Wire], how: str) -> None:
    left: list[bytes] = []

    async def play(line: Line) -> None:
        await line.message()
        left.append(await line.rest())

    await scene.begin(play)
    client = await scene.connect()
    await client.send(wire.request())
    await scene.until(lambda: scene.upstream.requests)
    await leave(client, how)
    row = await scene.row()
    assert is_cancelled(row)
    assert row["http_status"] == 0
    assert row["model"] == "gpt-5.4", "the request named it, although no answer did"
    assert row["input_tokens"] is None
    await scene.until(lambda: left == [b""])  # the provider stops generating: its connection ends too


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_at_once(scene: Scene, wire: type[Wire], how: str) -> None:
    async def play(line: Line) -> None:
        await line.message()
        await line.rest()

    await scene.begin(play)
    client = await scene.connect()
    client.writer.write(wire.request())
    await leave(client, how)
    assert is_cancelled(await scene.row())


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_before_the_first_byte(scene: Scene, wire: type[Wire], how: str) -> None:
    left = await begin(scene, wire)
    client = await scene.connect()
    await client.send(wire.request())
    assert (await client.head()).startswith(b"HTTP/1.1 200")
    await leave(client, how)
    row = await scene.row()
    assert is_cancelled(row)
    assert row["http_status"] == 200
    assert row["latency_first_token_ms"] is None
    await scene.until(lambda: left == [b""])


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_in_mid_stream(scene: Scene, wire: type[Wire], how: str) -> None:
    left = await begin(scene, wire, DELTA)
    client = await scene.connect()
    await client.send(wire.request())
    await client.until(b"Hello")
    await leave(client, how)
    row = await scene.row()
    assert is_cancelled(row)
    assert row["latency_first_token_ms"] is not None
    assert row["output_tokens"] is None
    await scene.until(lambda: left == [b""])


@pytest.mark.parametrize(
    ("path", "documents", "counts"),
    [
        pytest.param(
            "/v1/responses",
            (DELTA, COUNTED),
            (1200, 340, 200),
            id="responses",
        ),
        pytest.param(
            "/v1/chat/completions",
            (
                {"model": "gpt-5.4", "choices": [{"delta": {"content": "Hello"}}]},
                {"model": "gpt-5.4", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}},
            ),
            (7, 3, None),
            id="chat",
        ),
        pytest.param(
            "/v1/messages",
            (
                {
                    "type": "message_start",
                    "message": {"model": "claude", "usage": {"input_tokens": 9, "output_tokens": 1}},
                },
                {"type": "message_delta", "usage": {"output_tokens": 25}},
            ),
            (9, 25, None),
            id="messages",
        ),
    ],
)
async def test_after_usage_but_before_the_closing_event(
    scene: Scene,
    wire: type[Wire],
    path: str,
    documents: tuple[dict[str, Any], ...],
    counts: tuple[int | None, ...],
) -> None:
    await begin(scene, wire, *documents)
    client = await scene.connect()
    await client.send(wire.request(path=path))
    await client.until(wire.events(*documents)[-20:])
    await client.close()
    row = await scene.row()
    assert is_cancelled(row)
    assert (row["input_tokens"], row["output_tokens"], row["cached_input_tokens"]) == counts


@pytest.mark.parametrize(
    ("path", "closing"),
    [
        ("/v1/responses", b'data: {"type":"response.completed","response":{"usage":{"input_tokens":7}}}\n\n'),
        ("/v1/chat/completions", b'data: {"choices":[],"usage":{"prompt_tokens":7}}\n\ndata: [DONE]\n\n'),
        ("/v1/messages", b'data: {"usage":{"input_tokens":7}}\n\ndata: {"type":"message_stop"}\n\n'),
    ],
)
async def test_with_the_closing_event(scene: Scene, wire: type[Wire], path: str, closing: bytes) -> None:
    """Many clients hang up on it, and do not wait for the end of the body behind it."""

    async def play(line: Line) -> None:
        await line.message()
        await line.send(wire.stream() + wire.chunk(wire.events(DELTA)) + wire.chunk(closing))
        await line.rest()

    await scene.begin(play)
    client = await scene.connect()
    await client.send(wire.request(path=path))
    await client.until(closing[-20:])
    await client.close()
    row = await scene.row()
    assert (row["status"], row["end_reason"], row["input_tokens"]) == ("success", "done", 7)


@pytest.mark.parametrize("announced", [1_000, 1_000_000], ids=["small", "large"])
async def test_during_the_upload(scene: Scene, wire: type[Wire], announced: int) -> None:
    async def play(line: Line) -> None:
        await line.message()

    await scene.begin(play)
    client = await scene.connect()
    head = wire.head("POST /v1/responses HTTP/1.1", "Host: proxy", f"Content-Length: {announced}")
    await client.send(head, b"x" * (announced // 2), pause=0.05)
    await asyncio.sleep(0.05)
    await client.close()
    row = await scene.row()
    assert is_cancelled(row)
    assert row["http_status"] == 0
    await scene.until(lambda: not any(request.complete for request in scene.upstream.requests))


async def test_while_it_does_not_read(scene: Scene, wire: type[Wire]) -> None:
    async def play(line: Line) -> None:
        await line.message()
        await line.send(wire.stream())
        for _ in range(400):
            await line.send(wire.chunk(wire.events("x" * 65_536)))

    await scene.begin(play)
    client = await scene.connect()
    await client.send(wire.request())
    await client.head()
    await asyncio.sleep(0.1)  # our buffers fill, then the proxy's, then the upstream waits
    assert scene.proxy.rows() == []
    client.reset()
    assert is_cancelled(await scene.row())


async def test_it_counts_as_cancelled_and_its_duration_is_not_observed(
    scene: Scene, wire: type[Wire]
) -> None:
    await begin(scene, wire, DELTA, COUNTED)
    before = scene.proxy.samples()
    client = await scene.connect()
    await client.send(wire.request())
    await client.until(b"response.in_progress")
    await client.close()
    await scene.row()
    risen = {k: v - before.get(k, 0) for k, v in scene.proxy.samples().items() if v != before.get(k, 0)}
    model = "gpt-5.4-2026-03-05"
    assert risen[f'codex_lb_proxy_requests_total{{api="responses",model="{model}",status="cancelled"}}'] == 1
    assert risen[f'codex_lb_proxy_tokens_total{{kind="output",model="{model}"}}'] == 340
    assert risen['http_requests_total{method="POST",path="/v1/responses",status="200"}'] == 1
    assert not [name for name in risen if "_errors_" in name or "_latency_" in name]
    assert not [name for name in risen if "time_to_first_token" in name or "duration" in name]


async def test_leaving_after_the_whole_answer_is_no_cancellation(scene: Scene, wire: type[Wire]) -> None:
    body = wire.events(DELTA, COMPLETED)
    await scene.begin(wire.stream() + wire.chunk(body) + wire.end)
    client = await scene.connect()
    await client.send(wire.request())
    assert (await client.message()).body == body
    await client.close()
    row = await scene.row()
    assert (row["status"], row["end_reason"]) == ("success", "done")


async def test_and_the_proxy_ends_at_the_same_moment(scene: Scene, wire: type[Wire]) -> None:
    await begin(scene, wire, DELTA, COMPLETED)
    client = await scene.connect()
    await client.send(wire.request())
    await client.until(b"response.completed")
    await client.close()
    await scene.end()
    row = await scene.row()
    assert row["output_tokens"] == 340
