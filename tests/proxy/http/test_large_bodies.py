"""Twenty megabytes each way: passed on piece by piece, never held whole."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.proxy.conftest import Line, Scene, Wire

PIECE = bytes(range(256)) * 256
COUNT = 320
SIZE = COUNT * len(PIECE)
HELD = 4_000_000
"""Bytes that a transfer may add to what the proxy holds anyway, its prices for the most part: buffers of six
sockets, and what Python itself moves."""


def settled() -> int:
    """Bytes held now; from here on the peak is measured."""
    tracemalloc.reset_peak()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def expected() -> bytes:
    digest = hashlib.sha256()
    for _ in range(COUNT):
        digest.update(PIECE)
    return digest.digest()


async def swallow(line: Line, size: int) -> bytes:
    """The digest of so many bytes, none of them kept."""
    digest = hashlib.sha256()
    while size:
        piece = await line.reader.read(min(size, 1 << 16))
        assert piece, "the body ended early"
        digest.update(piece)
        size -= len(piece)
    return digest.digest()


@pytest.mark.usefixtures("memory")
async def test_an_upload(scene: Scene, wire: type[Wire]) -> None:
    digests = []

    async def play(line: Line) -> None:
        await line.head()
        digests.append(await swallow(line, SIZE))
        await line.send(wire.answer(b'{"id": "file-1"}'))

    await scene.begin(play)
    client = await scene.connect()
    head = ("POST /v1/files HTTP/1.1", "Host: proxy", "Content-Type: multipart/form-data; boundary=b")
    await client.send(wire.head(*head, f"Content-Length: {SIZE}"))
    before = settled()
    for _ in range(COUNT):
        await client.send(PIECE)
    assert (await client.message()).body == b'{"id": "file-1"}'
    assert digests == [expected()]
    assert tracemalloc.get_traced_memory()[1] - before < HELD


@pytest.mark.usefixtures("memory")
async def test_a_download(scene: Scene, wire: type[Wire]) -> None:
    async def play(line: Line) -> None:
        await line.message()
        head = ("HTTP/1.1 200 OK", "Content-Type: application/octet-stream", f"Content-Length: {SIZE}")
        await line.send(wire.head(*head))
        for _ in range(COUNT):
            await line.send(PIECE)

    await scene.begin(play)
    client = await scene.connect()
    await client.send(wire.request(b"", path="/v1/files/file-1/content", method="GET"))
    await client.head()
    before = settled()
    assert await swallow(client, SIZE) == expected()
    assert tracemalloc.get_traced_memory()[1] - before < HELD


@pytest.mark.usefixtures("memory")
async def test_a_long_stream_to_a_client_that_does_not_read(scene: Scene, wire: type[Wire]) -> None:
    written = 0

    async def play(line: Line) -> None:
        nonlocal written
        await line.message()
        await line.send(wire.stream())
        event = wire.chunk(wire.events("x" * 65_000))
        while True:
            await line.send(event)
            written += len(event)

    await scene.begin(play)
    client = await scene.connect()
    before = settled()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await client.send(wire.request())
    seen = -1

    def stands_still() -> bool:
        nonlocal seen
        before, seen = seen, written
        return 0 < before == written

    await scene.until(stands_still)
    assert tracemalloc.get_traced_memory()[1] - before < 2 * HELD


async def test_a_request_of_two_megabytes_tells_its_model(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(b"{}"))
    body = b'{"input": "' + b"x" * 2_000_000 + b'", "model": "gpt-5.4-mini"}'
    await scene.ask(wire.request(body))
    (request,) = scene.upstream.requests
    assert (request.body, request.values(b"Content-Length")) == (body, [str(len(body)).encode()])
    assert (await scene.row())["model"] == "gpt-5.4-mini"
