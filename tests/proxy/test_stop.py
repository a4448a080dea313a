"""The proxy's own stop, in the test's loop: what runs may finish, what must be cut is told so."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.proxy.conftest import Line, Scene, Wire

DELTA = {"type": "response.output_text.delta", "delta": "Hello"}
COMPLETED = {"type": "response.completed", "response": {"usage": {"input_tokens": 5, "output_tokens": 34}}}


async def begin(scene: Scene, wire: type[Wire], *, grace: float, lasts: float) -> Line:
    """A client with a stream that has begun, and that ends after so many seconds."""

    async def play(line: Line) -> None:
        await line.message()
        await line.send(wire.stream() + wire.chunk(wire.events(DELTA)))
        await asyncio.sleep(lasts)
        await line.send(wire.chunk(wire.events(COMPLETED)) + wire.end)

    await scene.begin(play, server={"shutdown_timeout_seconds": grace})
    client = await scene.connect()
    await client.send(wire.request())
    await client.until(b"Hello")
    return client


async def test_a_running_stream_finishes(scene: Scene, wire: type[Wire]) -> None:
    client = await begin(scene, wire, grace=5, lasts=0.2)
    stopping = asyncio.create_task(scene.end())
    assert (await client.rest()).endswith(wire.end)
    await stopping
    row = await scene.row()
    assert (row["status"], row["end_reason"], row["output_tokens"]) == ("success", "done", 34)


async def test_a_running_upload_finishes(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(), server={"shutdown_timeout_seconds": 0.5})
    client = await scene.connect()
    head = wire.head("POST /v1/files HTTP/1.1", "Host: proxy", "Content-Length: 600000")
    await client.send(head + b"x" * 300_000)
    await scene.until(lambda: scene.upstream.lines)
    stopping = asyncio.create_task(scene.end())
    await asyncio.sleep(0.05)
    await client.send(b"x" * 300_000)
    answer = await client.rest()
    await stopping
    assert answer.startswith(b"HTTP/1.1 200")


async def test_a_stream_that_outlasts_the_grace_is_cut_and_recorded(scene: Scene, wire: type[Wire]) -> None:
    client = await begin(scene, wire, grace=0.2, lasts=2)
    await scene.end()
    row = await scene.row()
    assert (row["status"], row["end_reason"]) == ("error", "shutdown")
    assert not (await client.rest()).endswith(wire.end), "what is cut must not look complete"


async def test_a_stream_that_is_cut_has_its_error_code(scene: Scene, wire: type[Wire]) -> None:
    await begin(scene, wire, grace=0.2, lasts=2)
    await scene.end()
    assert (await scene.row())["error_code"] == "shutting_down"


async def test_the_last_requests_are_in_the_metrics(scene: Scene, wire: type[Wire]) -> None:
    """Of a worker that ends, the others show them."""
    await begin(scene, wire, grace=0.2, lasts=20)
    await scene.end()
    text = scene.proxy.service.instruments.scrape()[0].decode()
    assert 'codex_lb_proxy_errors_total{error_code="shutting_down"} 1.0' in text


@pytest.mark.parametrize("grace", [0, 0.8])
async def test_it_takes_no_longer_than_the_grace(scene: Scene, wire: type[Wire], grace: float) -> None:
    await begin(scene, wire, grace=grace, lasts=20)
    begun = perf_counter()
    await scene.end()
    assert perf_counter() - begun < grace + 5


async def test_nothing_new_is_accepted(scene: Scene, wire: type[Wire]) -> None:
    client = await begin(scene, wire, grace=5, lasts=0.2)
    idle = await scene.connect()
    stopping = asyncio.create_task(scene.end())
    assert await idle.rest() == b""  # a connection without a request ends at once
    with pytest.raises(ConnectionRefusedError):
        await scene.connect()
    assert not stopping.done()
    assert (await client.rest()).endswith(wire.end)
    await stopping
