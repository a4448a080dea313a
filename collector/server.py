"""The HTTP side: /metrics, /healthz and /readyz."""

from __future__ import annotations

import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from collector.errors import InboxError
from metrics.exposition import CONTENT_TYPE
from settings.callers import Guard
from settings.errors import SettingsError

log = logging.getLogger("quotascope.collector")

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(
    scrape: Callable[[], Awaitable[bytes]],
    ready: Callable[[], str | None],
    guard: Guard,
    token: str | None = None,
) -> web.Application:
    """The collector's web application.

    Args:
        ready: what is in the way; None where nothing is.
        token: the bearer token that /metrics asks for; None leaves it open.
    """

    async def metrics(request: web.Request) -> web.Response:
        if not _authorized(request, token):
            text = "give the token of [metrics] token as: Authorization: Bearer TOKEN\n"
            return web.Response(status=401, text=text, headers={"WWW-Authenticate": "Bearer"})
        try:
            body = await scrape()
        except InboxError as error:
            return web.Response(status=503, text=f"{error}\n")
        response = web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})
        response.enable_compression()
        return response

    async def readyz(_request: web.Request) -> web.Response:
        problem = ready()
        return web.Response(status=503 if problem else 200, text=f"{problem or 'ready'}\n")

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    @web.middleware
    async def guarded(request: web.Request, handler: _Handler) -> web.StreamResponse:
        known = token is not None and _authorized(request, token)
        refusal = guard.refusal(request.headers.items(), request.remote, known=known)
        if refusal is not None and request.path != "/healthz":
            return web.Response(status=403, text=f"{refusal.message}\n")
        return await handler(request)

    app = web.Application(middlewares=[guarded])
    app.add_routes([web.get("/metrics", metrics), web.get("/readyz", readyz), web.get("/healthz", healthz)])
    return app


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the block runs. Yields: the port. Raises: SettingsError."""
    runner = _Runner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            reason = error.strerror or str(error)
            raise SettingsError(f"collector.listen_addr: cannot listen on {host}:{port}: {reason}") from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class _Connection(RequestHandler):
    """A connection whose malformed requests are neither logged nor echoed: they may hold the token."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500:
            log.error("a request failed unexpectedly: %s", type(exc).__name__, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        answer = web.Response(status=status, text=f"{type(exc).__name__}\n")
        answer.force_close()
        return answer


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    async def _make_server(self) -> Any:
        server = await super()._make_server()
        server.__class__ = _Server  # aiohttp has no other way to say which connections an application gets
        return server


def _authorized(request: web.Request, token: str | None) -> bool:
    if token is None:
        return True
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    same = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token.encode())
    return scheme.lower() == "bearer" and same
