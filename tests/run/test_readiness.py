from __future__ import annotations

import asyncio

from aiohttp import web

from run.crew import answers


async def test_it_waits_for_200() -> None:
    statuses = iter([503, 302, 404, 200])
    seen: list[int] = []

    async def answer(_request: web.BaseRequest) -> web.Response:
        seen.append(next(statuses))
        return web.Response(status=seen[-1], headers={"Location": "/"})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with asyncio.timeout(30):
            await answers(f"http://{host}:{port}/readyz")
    finally:
        await runner.cleanup()
    assert seen == [503, 302, 404, 200]
