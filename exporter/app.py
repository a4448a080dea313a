"""The HTTP side: /metrics, /healthz and /readyz."""

from __future__ import annotations

import hmac
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from exporter.errors import ListenError
from exporter.scrape import Scrape
from exporter.sharing import Afterwards, Shared, Watch
from metrics.exposition import CONTENT_TYPE
from settings.callers import LOCAL, Guard

log = logging.getLogger("quotascope.exporter")

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
            return _refusal()
        text = (await shared.result()).text
        response = web.Response(body=text, headers={"Content-Type": CONTENT_TYPE})
        response.enable_compression()  # where the client accepts it, as Prometheus does
        return response

    async def readyz(request: web.Request) -> web.Response:
        failed = (await shared.result()).failed
        if failed:
            text = f"not ready: {', '.join(failed)} cannot be read; the reason is in the log\n"
            return web.Response(status=503, text=text)
        return web.Response(text="ready\n")

    async def healthz(request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    @web.middleware
    async def guarded(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        known = token is not None and authorized(request.headers.get("Authorization", ""), token)
        refusal = guard.refusal(request.headers.items(), request.remote, known=known)
        if refusal is None or request.path == "/healthz":
            return await handler(request)
        return web.Response(status=403, text=f"{refusal.code}: {refusal.message}\n")

    async def end(_app: web.Application) -> None:
        await shared.end()

    app = web.Application(middlewares=[guarded])
    app.on_cleanup.append(end)
    app.add_routes(
        [web.get("/metrics", metrics), web.get("/readyz", readyz), web.get("/healthz", healthz)],
    )
    return app


def authorized(header: str, token: str | None) -> bool:
    """Whether an Authorization header carries the token; compared in constant time."""
    if token is None:
        return True
    scheme, _, given = header.partition(" ")
    same = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token.encode())
    return scheme.lower() == "bearer" and same


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve while the block runs, then let the requests under way end.

    Yields: the port, which the system chooses where 0 is given.
    Raises: ListenError.
    """
    runner = _Runner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await _listen(runner, host, port)
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
        kind = type(exc).__name__
        if status >= 500:
            log.error("a request failed unexpectedly: %s", kind, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        answer = web.Response(status=status, text=f"{kind}\n")
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


async def _listen(runner: web.AppRunner, host: str, port: int) -> None:
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ListenError(f"exporter.listen_addr: cannot listen on {host}:{port}: {reason}") from error


def _refusal() -> web.Response:
    return web.Response(
        status=401,
        text="give the token of [metrics] token as: Authorization: Bearer TOKEN\n",
        headers={"WWW-Authenticate": 'Bearer realm="quotascope exporter"'},
    )
