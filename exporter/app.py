"""The HTTP side: /metrics, /healthz and /readyz."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from exporter.scrape import Scrape
from exporter.sharing import Afterwards, Shared, Watch
from serving.service import authorized, guarded, healthz, measured, unauthorized
from settings.callers import LOCAL, Guard

SHUTDOWN_SECONDS = 4.0
"""How long a scrape under way may still take after SIGTERM."""


def application(
    scrape: Callable[[], Scrape],
    token: str | None = None,
    *,
    guard: Guard = LOCAL,
    afterwards: Afterwards | None = None,
    watch: Watch[Scrape] | None = None,
) -> web.Application:
    """The exporter's web application.

    Args:
        scrape: blocking; it is called in a thread, one call at a time.
        afterwards: blocking work to do after each scrape, see `Shared`.
        watch: when a scrape counts as hanging; None lets it take as long as it likes.
        token: the bearer token that /metrics asks for; None leaves it open.
        guard: who may ask; /healthz is for everybody.
    """
    shared = Shared(scrape, afterwards, watch)

    async def metrics(request: web.Request) -> web.Response:
        if not authorized(request.headers.get("Authorization", ""), token):
            return unauthorized()
        exposition = (await shared.result()).exposition
        return measured(*await asyncio.to_thread(exposition.text, request.headers.get("Accept", "")))

    async def readyz(request: web.Request) -> web.Response:
        failed = (await shared.result()).failed
        if failed:
            text = f"not ready: {', '.join(failed)} cannot be read; the reason is in the log\n"
            return web.Response(status=503, text=text)
        return web.Response(text="ready\n")

    async def end(_app: web.Application) -> None:
        await shared.end()

    app = web.Application(middlewares=[guarded(guard, token)])
    app.on_cleanup.append(end)
    app.add_routes(
        [web.get("/metrics", metrics), web.get("/readyz", readyz), web.get("/healthz", healthz)],
    )
    return app
