"""The server library's own limits do not bite: time, sizes of heads, and bytes that wait to be sent."""

from __future__ import annotations

import asyncio
import io
import selectors
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from proxy.service import serving
from settings.model import Settings

if TYPE_CHECKING:
    from tests.proxy.conftest import Line, Scene, Wire


@pytest.mark.parametrize("size", [9_000, 40_000])
async def test_long_headers_pass(scene: Scene, wire: type[Wire], size: int) -> None:
    value = "x" * size
    await scene.begin(wire.answer(b"{}", f"x-long: {value}"))
    answer = await scene.ask(wire.request(b"{}", f"x-long: {value}"))
    assert answer.values(b"x-long") == [value.encode()]
    assert scene.upstream.requests[0].values(b"x-long") == [value.encode()]


async def test_a_long_target_passes(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer())
    path = "/v1/models?" + "x" * 30_000
    await scene.ask(wire.request(b"", path=path, method="GET"))
    assert scene.upstream.requests[0].start == f"GET {path} HTTP/1.1".encode()


async def test_a_hundred_headers_pass(scene: Scene, wire: type[Wire]) -> None:
    headers = [f"x-{number}: {number}" for number in range(100)]
    await scene.begin(wire.answer(b"{}", *headers))
    answer = await scene.ask(wire.request(b"{}", *headers))
    assert len(answer.fields) == 101
    assert len(scene.upstream.requests[0].fields) == 102


async def test_a_head_beyond_all_measure_is_refused(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(b"{}", "x-long: " + "x" * 200_000))
    client = await scene.connect()
    await client.send(wire.request(b"{}", "x-long: " + "x" * 200_000))
    assert (await client.rest()).startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert (await scene.ask(wire.request())).start == b"HTTP/1.1 502 Bad Gateway"


async def test_every_event_arrives_before_the_next_one_is_sent(scene: Scene, wire: type[Wire]) -> None:
    """No buffer, no Nagle, no wait for more: else both ends would wait for each other."""
    arrived = asyncio.Semaphore(0)

    async def play(line: Line) -> None:
        await line.message()
        await line.send(wire.stream())
        for number in range(20):
            async with asyncio.timeout(line.patience):
                await arrived.acquire()
            await line.send(wire.chunk(wire.events(f"event {number}")))
        await line.send(wire.end)

    await scene.begin(play)
    client = await scene.connect()
    await client.send(wire.request())
    await client.head()
    for number in range(20):
        arrived.release()
        await client.until(f"data: event {number}\n\n\r\n".encode())


async def test_an_answer_may_begin_while_the_request_still_runs(scene: Scene, wire: type[Wire]) -> None:
    async def play(line: Line) -> None:
        await line.head()
        await line.exactly(300_000)
        await line.send(wire.stream() + wire.chunk(wire.events("half")))
        await line.exactly(300_000)
        await line.send(wire.chunk(wire.events("all")) + wire.end)

    await scene.begin(play)
    client = await scene.connect()
    head = wire.head("POST /v1/responses HTTP/1.1", "Host: proxy", "Content-Length: 600000")
    await client.send(head + b"x" * 300_000)
    await client.until(b"data: half\n\n\r\n")
    await client.send(b"x" * 300_000)
    await client.until(b"data: all\n\n\r\n" + wire.end)


async def test_a_slow_upload_is_no_silence_of_the_upstream(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(b"got it"), server={"idle_timeout_seconds": 0.3})
    client = await scene.connect()
    head = wire.head("POST /v1/responses HTTP/1.1", "Host: proxy", "Content-Length: 600000")
    await client.send(head, *[b"x" * 100_000] * 6, pause=0.15)
    assert (await client.message()).body == b"got it"


async def test_an_upstream_that_reads_no_upload_is_a_timeout(scene: Scene, wire: type[Wire]) -> None:
    async def play(line: Line) -> None:
        await line.head()
        line.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(2)

    await scene.begin(play, server={"idle_timeout_seconds": 0.3})
    client = await scene.connect()
    client.patience = 1.0
    size = 50_000_000
    head = wire.head("POST /v1/responses HTTP/1.1", "Host: proxy", f"Content-Length: {size}")
    sending = asyncio.create_task(client.send(head, b"x" * size))
    answer = await client.message()
    sending.cancel()
    assert answer.start == b"HTTP/1.1 504 Gateway Timeout"
    assert (await scene.row())["end_reason"] == "timeout"


async def test_a_refusal_reaches_a_client_that_is_still_uploading(scene: Scene, wire: type[Wire]) -> None:
    async def play(line: Line) -> None:
        await line.head()
        await line.send(wire.answer(b'{"error": {"code": "too_large"}}', status="413 Content Too Large"))

    await scene.begin(play)
    client = await scene.connect()
    head = wire.head("POST /v1/files HTTP/1.1", "Host: proxy", "Content-Length: 600000")
    await client.send(head + b"x" * 300_000)
    answer = await client.message()
    assert answer.start == b"HTTP/1.1 413 Content Too Large"
    assert (await scene.row())["error_code"] == "too_large"
    await client.send(b"x" * 300_000 + head + b"x" * 300_000)
    assert (await client.message()).start == answer.start, (
        "the connection goes on behind the rest of the body"
    )
    assert "unexpectedly" not in scene.proxy.log.getvalue()


SPEED = 5_000
"""Seconds of the fast clock for each real one."""


class FastSelector(selectors.DefaultSelector):
    """Waits a real second where it is asked to wait for five thousand."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / SPEED)


class FastLoop(asyncio.SelectorEventLoop):
    """A loop whose clock runs too fast: an hour passes while a test runs."""

    def __init__(self) -> None:
        super().__init__(FastSelector())

    def time(self) -> float:
        return super().time() * SPEED


def test_a_stream_of_an_hour_is_not_cut(tmp_path: Path, wire: type[Wire]) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(wire.stream())
        for _ in range(40):
            await asyncio.sleep(90)
            writer.write(wire.chunk(wire.events("still thinking")))
        writer.write(wire.end)
        writer.close()
        await writer.wait_closed()

    async def main() -> bytes:
        upstream = await asyncio.start_server(play, "127.0.0.1", 0)
        server: dict[str, Any] = {
            "listen_addr": "127.0.0.1:0",
            "upstream_base_url": f"http://127.0.0.1:{upstream.sockets[0].getsockname()[1]}",
            "connect_timeout_seconds": 300,  # what we set is no surprise; what else there is would be
            "idle_timeout_seconds": 86_400,
        }
        storage = {"database_path": str(tmp_path / "usage.db")}
        settings = Settings.model_validate({"server": server, "storage": storage})
        async with upstream, serving(settings, io.StringIO()) as service:
            reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
            begun = asyncio.get_running_loop().time()
            writer.write(wire.request())
            try:
                received = await reader.readuntil(wire.end)
                assert asyncio.get_running_loop().time() - begun > 3_600
            finally:
                writer.close()
            return received

    with asyncio.Runner(loop_factory=FastLoop) as runner:
        received = runner.run(main())
    assert received.count(b"still thinking") == 40
