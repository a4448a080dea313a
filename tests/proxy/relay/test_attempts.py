"""One request of a client is one attempt at the upstream, and one event, however that attempt ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.proxy.conftest import Line, Scene, Wire


@pytest.mark.parametrize("body", [b"{}", b""], ids=["with a body", "without"])
@pytest.mark.parametrize("connection", ["fresh", "reused"])
async def test_a_post_that_was_dropped_unanswered_is_not_sent_again(
    scene: Scene, wire: type[Wire], connection: str, body: bytes
) -> None:
    heard: list[bytes] = []

    async def play(line: Line) -> None:
        if connection == "reused" and not heard:
            heard.append((await line.message()).start)
            await line.send(wire.answer(b"first"))
        heard.append((await line.message()).start)

    await scene.begin(play)
    client = await scene.connect()
    if connection == "reused":
        await client.send(wire.request())
        assert (await client.message()).body == b"first"
    before = len(heard)
    await client.send(wire.request(body))
    assert (await client.message()).start == b"HTTP/1.1 502 Bad Gateway"
    assert len(heard) == before + 1
    rows = await scene.rows(before + 1)
    assert [row["http_status"] for row in rows] == [200] * before + [502]


async def test_nothing_is_sent_again_after_the_first_byte(scene: Scene, wire: type[Wire]) -> None:
    async def play(line: Line) -> None:
        await line.message()
        await line.send(wire.stream() + wire.chunk(b"data: {}\n\n"))

    await scene.begin(play)
    assert not (await scene.ask(wire.request(b"", method="GET", path="/v1/models"))).complete
    assert len(scene.upstream.requests) == 1
    assert len(await scene.rows()) == 1


async def test_a_get_is_one_event_even_if_the_library_repeats_it(scene: Scene, wire: type[Wire]) -> None:
    dropped = False

    async def play(line: Line) -> None:
        nonlocal dropped
        await line.message()
        await line.send(wire.answer(b"answered"))
        await line.message()
        if dropped:
            await line.send(wire.answer(b"answered"))
        dropped = True

    await scene.begin(play)
    client = await scene.connect()
    for _ in range(2):
        await client.send(wire.request(b"", method="GET", path="/v1/models"))
        answer = await client.message()
        assert answer.start in (b"HTTP/1.1 200 OK", b"HTTP/1.1 502 Bad Gateway")
    await scene.rows(2)


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "unannounced"])
async def test_an_upstream_that_closes_its_idle_connections_costs_no_request(
    scene: Scene, wire: type[Wire], announced: bool
) -> None:
    async def play(line: Line) -> None:
        await line.message()
        await line.send(wire.answer(b"ok", *(("Connection: close",) if announced else ("x-a: b",))))

    await scene.begin(play)
    client = await scene.connect()
    for _ in range(3):
        await client.send(wire.request())
        assert (await client.message()).body == b"ok"
        await asyncio.sleep(0.05)
    assert len(scene.upstream.lines) == 3


async def test_connections_to_the_upstream_are_used_again(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(b"ok"))
    for _ in range(3):
        assert (await scene.ask(wire.request())).body == b"ok"
    assert len(scene.upstream.lines) == 1


async def test_every_attempt_of_a_client_is_billed_under_its_request_id(
    scene: Scene, wire: type[Wire]
) -> None:
    failed = b'{"error": {"code": "server_error"}, "usage": {"input_tokens": 5, "output_tokens": 0}}'
    answered = b'{"model": "gpt-5.4", "usage": {"input_tokens": 5, "output_tokens": 7}}'
    await scene.begin(wire.answer(failed, status="500 Internal Server Error"), wire.answer(answered))
    for _ in range(2):
        await scene.ask(wire.request(b"{}", "x-client-request-id: same-1"))
    rows = await scene.rows(2)
    assert [(row["request_id"], row["input_tokens"]) for row in rows] == [("same-1", 5), ("same-1", 5)]
    assert rows[0]["event_id"] != rows[1]["event_id"]
