"""Silent connections keep nobody out."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web

from serving.connection import ConnectionServer

MOST = 4
ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connecting() -> AsyncIterator[tuple[AsyncExitStack, int, asyncio.Event, asyncio.Semaphore]]:
    """A server for few connections, whose answer to /wait says that it waits, and waits for the event; the
    one to /leave ends the connection."""
    go_on, started = asyncio.Event(), asyncio.Semaphore(0)

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path == "/wait":
            started.release()
            await go_on.wait()
        ok = web.Response(text="ok")
        if request.path == "/leave":
            await ok.prepare(request)
            await ok.write_eof()
            assert request.transport is not None
            request.transport.abort()
        return ok

    runner = web.ServerRunner(ConnectionServer(answer, max_connections=MOST))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(runner.cleanup)
        yield stack, runner.addresses[0][1], go_on, started


async def connect(stack: AsyncExitStack, port: int, *said: bytes) -> Ends:
    ends = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(ends[1].close)
    for part in said:
        ends[1].write(part)
    return ends


async def answered(ends: Ends) -> bytes:
    ends[1].write(ASK)
    async with asyncio.timeout(20):
        return (await ends[0].readuntil(b"ok"))[:15]


async def whole(stack: AsyncExitStack, port: int) -> bytes:
    """A whole answer."""
    reader, _ = await connect(stack, port, ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    return (await reader.read()).replace(b"Connection: close\r\n", b"")


async def closed(ends: Ends) -> bool:
    async with asyncio.timeout(20):
        return await ends[0].read() == b""


async def test_who_has_been_silent_for_longest_gives_way() -> None:
    async with connecting() as (stack, port, *_):
        good = await connect(stack, port)
        assert await answered(good) == b"HTTP/1.1 200 OK"
        silent = [await connect(stack, port, *([] if n % 2 else [ASK[:20]])) for n in range(3 * MOST)]
        for one in silent[: 2 * MOST + 1]:
            assert await closed(one)
        assert await answered(good) == b"HTTP/1.1 200 OK"
        assert await answered(await connect(stack, port)) == b"HTTP/1.1 200 OK"


async def test_who_is_answered_gives_way_to_nobody() -> None:
    async with connecting() as (stack, port, go_on, started):
        busy = [await connect(stack, port, ASK.replace(b"/ ", b"/wait ")) for _ in range(MOST)]
        async with asyncio.timeout(20):
            for _ in range(MOST):
                await started.acquire()
        assert await closed(await connect(stack, port))
        go_on.set()
        for one in busy:
            assert (await one[0].readuntil(b"ok")).startswith(b"HTTP/1.1 200")


async def test_who_leaves_amid_a_body_that_nobody_reads_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    async with connecting() as (stack, port, *_):
        head = b"POST /leave HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
        reader, _ = await connect(stack, port, head)
        with suppress(ConnectionResetError):
            await reader.read()
        assert await answered(await connect(stack, port)) == b"HTTP/1.1 200 OK"
    assert caplog.text == ""


async def test_who_sends_many_requests_at_once_lets_others_take_turns() -> None:
    async with connecting() as (stack, port, *_):
        crowd, turns = await connect(stack, port, ASK * 2_000), 0
        reading = asyncio.create_task(crowd[0].readexactly(2_000 * len(await whole(stack, port))))
        async with asyncio.timeout(20):
            while not reading.done():
                await asyncio.sleep(0)
                turns += 1
        assert turns > 1_000


def test_a_service_may_have_all_open_files_leaves_no_core_and_seldom_collects_garbage() -> None:
    script = (
        "import gc, resource as r; from settings.lifetime import set_limits, open_files; set_limits();"
        "print(open_files(), r.getrlimit(r.RLIMIT_NOFILE)[1],"
        "r.getrlimit(r.RLIMIT_CORE)[0], gc.get_threshold()[0])"
    )

    def few() -> None:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))

    run = [sys.executable, "-c", script]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    told = subprocess.run(run, env=environ, preexec_fn=few, capture_output=True, check=True).stdout.split()
    assert (int(told[0]), told[2], told[3]) == (min(int(told[1]), 2**20), b"0", b"10000")
