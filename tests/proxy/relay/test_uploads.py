"""Bodies that arrive slowly: they hold a slot for as long as they make progress, and against nobody else."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from proxy.relay import uploads

if TYPE_CHECKING:
    from tests.proxy.conftest import Line, Scene, Wire


async def drip(client: Line, seconds: float = 0.05) -> None:
    """A byte now and then, without end."""
    while True:
        await asyncio.sleep(seconds)
        await client.send(b"x")


def head(wire: type[Wire], size: int) -> bytes:
    return wire.head("POST /v1/responses HTTP/1.1", "Host: proxy", f"Content-Length: {size}")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_drips_is_refused(scene: Scene, wire: type[Wire], chunked: bool) -> None:
    """Each byte comes soon enough by itself; all of them together take for ever."""
    await scene.begin(wire.answer(), server={"body_timeout_seconds": 0.4})
    client = await scene.connect()
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 1000"
    start = wire.head("POST /v1/responses HTTP/1.1", "Host: proxy", framing)
    began = monotonic()
    await client.send(start + (wire.chunk(b"x") if chunked else b"x"))

    async def drips() -> None:
        while True:
            await asyncio.sleep(0.05)
            await client.send(wire.chunk(b"x") if chunked else b"x")

    dripping = asyncio.create_task(drips())
    answer = await client.message()
    dripping.cancel()
    assert answer.start == b"HTTP/1.1 408 Request Timeout"
    assert 0.3 < monotonic() - began < 20
    row = await scene.row()
    assert (row["end_reason"], row["error_code"]) == ("refused", "request_timeout")


async def test_a_slow_body_that_keeps_the_rate_passes(scene: Scene, wire: type[Wire]) -> None:
    """It takes much longer than the seconds that a body may keep us waiting, and is waited for."""
    pace = {"body_timeout_seconds": 0.5, "min_body_bytes_per_second": 1_000}
    await scene.begin(wire.answer(), server=pace)
    client = await scene.connect()
    await client.send(head(wire, 4_000))
    for _ in range(8):
        await asyncio.sleep(0.15)
        await client.send(b"x" * 500)
    assert (await client.message()).start == b"HTTP/1.1 200 OK"
    assert len(scene.upstream.requests[0].body) == 4_000


async def test_what_the_provider_does_not_read_is_not_the_client_s_delay(
    scene: Scene, wire: type[Wire]
) -> None:
    size = 24 * 2**20

    async def play(line: Line) -> None:
        await line.head()
        await asyncio.sleep(1.0)
        await line.exactly(size)
        await line.send(wire.answer())

    await scene.begin(play, server={"body_timeout_seconds": 0.3, "min_body_bytes_per_second": 1_000_000})
    client = await scene.connect()
    client.patience = 30
    await client.send(head(wire, size) + b"x" * size)
    assert (await client.message()).start == b"HTTP/1.1 200 OK"


async def test_bodies_that_drip_give_way_where_all_slots_are_taken(
    scene: Scene, wire: type[Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "YIELDS_AFTER", 0.3)
    await scene.begin(wire.answer(b"served"), server={"max_concurrent_requests": 3})
    dripping = [await scene.connect() for _ in range(3)]
    tasks = []
    for number, client in enumerate(dripping):
        await client.send(head(wire, 1_000) + b"x" * (1 + 100 * number))
        tasks.append(asyncio.create_task(drip(client)))
    assert b"503" in (await scene.ask(wire.request())).start, "nobody is slow yet"
    await asyncio.sleep(0.5)
    assert (await scene.ask(wire.request())).body == b"served"
    answers = [asyncio.create_task(client.message()) for client in dripping]
    first, _ = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
    assert {(await answer).start for answer in first} == {b"HTTP/1.1 408 Request Timeout"}
    for task in (*tasks, *answers):
        task.cancel()
    await asyncio.gather(*tasks, *answers, return_exceptions=True)


def test_the_slowest_one_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[uploads.Upload] = []
    monkeypatch.setattr(uploads.Upload, "cut", lambda body: cut.append(body))
    arriving = uploads.Uploads()
    bodies = [uploads.Upload(arriving) for _ in range(4)]
    for body, received, waited in zip(bodies, (9_000, 100, 5_000, 1), (10, 10, 10, 0), strict=True):
        body._received, body._waited, body._since = received, waited, monotonic()
        arriving.waiting.add(body)
    assert arriving.make_room()
    assert cut == [bodies[1]], "of the last one it is too early to tell"


async def test_bodies_that_arrive_well_give_way_to_nobody(
    scene: Scene, wire: type[Wire], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "YIELDS_AFTER", 0.1)
    await scene.begin(wire.answer(b"served"), server={"max_concurrent_requests": 1})
    client = await scene.connect()
    await client.send(head(wire, 60_000) + b"x" * 20_000)
    for _ in range(4):
        await asyncio.sleep(0.1)
        await client.send(b"x" * 10_000)
        if _ < 3:
            assert b"503" in (await scene.ask(wire.request())).start
    assert (await client.message()).body == b"served"
