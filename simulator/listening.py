"""An aiohttp server on an address, for as long as a block lasts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from simulator.errors import OutputError


@asynccontextmanager
async def listening(runner: web.BaseRunner, host: str, port: int) -> AsyncIterator[str]:
    """Serve; the value is `http://HOST:PORT` with the port that was taken.

    Raises: OutputError where the address cannot be used.
    """
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise OutputError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        yield origin(host, runner.addresses[0][1])
    finally:
        await runner.cleanup()


def origin(host: str, port: int) -> str:
    """`http://HOST:PORT`, an IPv6 address in brackets."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
