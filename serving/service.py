"""How a service of ours listens, and who may ask it."""

from __future__ import annotations

import hmac
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from serving.connection import ApplicationRunner
from settings.callers import Guard
from settings.errors import SettingsError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def listening(
    app: web.Application, room: str, host: str, port: int, *, shutdown_seconds: float, cancels: bool = False
) -> AsyncIterator[int]:
    """Serve while the block runs, then let the requests under way end.

    Args:
        room: whose `listen_addr` it is.
        shutdown_seconds: how long requests under way may still take.
        cancels: a client that leaves ends the handler of its request.
    Yields: the port, which the system chooses where 0 is given.
    Raises: SettingsError where the address is taken, forbidden or not of this machine.
    """
    runner = ApplicationRunner(app, shutdown_timeout=shutdown_seconds, handler_cancellation=cancels)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            text = f"{room}.listen_addr: cannot listen on {host}:{port}: {system_reason(error)}"
            raise SettingsError(text) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def system_reason(error: OSError) -> str:
    """Why, in the system's words; asyncio's own name an address once more. A name that leads nowhere has a
    negative number, of the resolver's table."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else error.strerror or str(error)


def authorized(header: str, token: str | None) -> bool:
    """Whether an Authorization header carries the token; compared in constant time. Without a token anybody
    is."""
    if token is None:
        return True
    scheme, _, given = header.partition(" ")
    same = hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token.encode())
    return scheme.lower() == "bearer" and same


def unauthorized() -> web.Response:
    """The answer to who asks for metrics without the token."""
    text = "give the token of [metrics] token as: Authorization: Bearer TOKEN\n"
    return web.Response(status=401, text=text, headers={"WWW-Authenticate": 'Bearer realm="Quotascope"'})


def guarded(guard: Guard, token: str | None) -> Callable[..., Awaitable[web.StreamResponse]]:
    """A middleware that refuses web pages and reverse proxies which are not configured; /healthz is for
    everybody."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        known = token is not None and authorized(request.headers.get("Authorization", ""), token)
        refusal = guard.refusal(request.headers, request.remote, known=known)
        if refusal is None or request.path == "/healthz":
            return await handler(request)
        return web.Response(status=403, text=f"{refusal.code}: {refusal.message}\n")

    return middleware


def measured(text: bytes, kind: str) -> web.Response:
    """The answer to a scrape: the exposition, and its content type."""
    response = web.Response(body=text, headers={"Content-Type": kind})
    response.enable_compression()  # where the client accepts it, as Prometheus does
    return response


async def healthz(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")
