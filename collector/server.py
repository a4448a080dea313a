"""The HTTP side: /metrics, /healthz and /readyz."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from collector.errors import InboxError
from serving.service import authorized, guarded, healthz, measured, unauthorized
from settings.callers import Guard

SHUTDOWN_SECONDS = 2.0


def application(
    scrape: Callable[[str], Awaitable[tuple[bytes, str]]],
    ready: Callable[[], str | None],
    guard: Guard,
    token: str | None = None,
) -> web.Application:
    """The collector's web application.

    Args:
        scrape: makes the exposition and its content type for a header Accept.
        ready: what is in the way; None where nothing is.
        token: the bearer token that /metrics asks for; None leaves it open.
    """

    async def metrics(request: web.Request) -> web.Response:
        if not authorized(request.headers.get("Authorization", ""), token):
            return unauthorized()
        try:
            return measured(*await scrape(request.headers.get("Accept", "")))
        except InboxError as error:
            return web.Response(status=503, text=f"{error}\n")

    async def readyz(_request: web.Request) -> web.Response:
        problem = ready()
        return web.Response(status=503 if problem else 200, text=f"{problem or 'ready'}\n")

    app = web.Application(middlewares=[guarded(guard, token)])
    app.add_routes([web.get("/metrics", metrics), web.get("/readyz", readyz), web.get("/healthz", healthz)])
    return app
