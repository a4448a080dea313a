"""Who may ask the collector's server, and what of a malformed request is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from collector.server import application
from serving.service import listening
from settings.callers import LOCAL

TOKEN = "correct-horse-battery"


@asynccontextmanager
async def collector(token: str | None = None) -> AsyncIterator[int]:
    async def scrape(_accept: str) -> tuple[bytes, str]:
        return b"up 1\n", "text/plain"

    app = application(scrape, lambda: None, LOCAL, token)
    async with listening(app, "collector", "127.0.0.1", 0, shutdown_seconds=1) as port:
        yield port


async def ask(port: int, *headers: str, path: str = "/metrics") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write("\r\n".join((f"GET {path} HTTP/1.0", *headers, "", "")).encode("latin-1"))
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "headers",
    [
        ("Host: evil.example",),
        ("Host: 127.0.0.1", "Origin: https://evil.example"),
        ("Host: 127.0.0.1", "Sec-Fetch-Site: same-site"),
        ("Host: 127.0.0.1", "X-Forwarded-For: 8.8.8.8"),
    ],
)
@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
async def test_strangers_are_refused(headers: tuple[str, ...], path: str) -> None:
    async with collector() as port:
        assert (await ask(port, *headers, path=path)).startswith(b"HTTP/1.0 403")
        assert (await ask(port, "Host: localhost", path=path)).startswith(b"HTTP/1.0 200")
        assert (await ask(port, *headers, path="/healthz")).startswith(b"HTTP/1.0 200")


async def test_the_token_opens_by_whatever_name() -> None:
    async with collector(TOKEN) as port:
        assert b"up 1" in await ask(port, f"Authorization: Bearer {TOKEN}", "Host: metrics.example.org")
        assert (await ask(port, "Host: localhost")).startswith(b"HTTP/1.0 401")


@pytest.mark.parametrize("byte", ["\x01", "\x00", "\x7f", "\x1f"])
async def test_a_malformed_request_brings_no_token_out(byte: str, caplog: pytest.LogCaptureFixture) -> None:
    async with collector(TOKEN) as port:
        answer = await ask(port, "Host: 127.0.0.1", f"Authorization: Bearer {TOKEN}{byte}")
    assert answer.startswith(b"HTTP/1.0 400")
    assert TOKEN.encode() not in answer
    assert TOKEN not in caplog.text
