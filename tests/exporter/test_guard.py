"""Who may ask the exporter: programs of this machine, no web page and nothing passed on; and what of a
malformed request is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from exporter.app import application
from exporter.scrape import Scrape
from metrics.exposition import Beginnings, Exposition
from serving.service import listening
from settings.model import Settings, guard

TOKEN = "correct-horse-battery"


@asynccontextmanager
async def exporter(address: str = "127.0.0.1:8789", token: str | None = None) -> AsyncIterator[int]:
    rule = guard(Settings(), address)
    app = application(lambda: Scrape(Exposition([], Beginnings())), token, guard=rule)
    async with listening(app, "exporter", "127.0.0.1", 0, shutdown_seconds=1) as port:
        yield port


async def ask(port: int, *headers: str, path: str = "/metrics") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write("\r\n".join((f"GET {path} HTTP/1.0", *headers, "", "")).encode("latin-1"))
        async with asyncio.timeout(20):
            return await reader.read()
    finally:
        writer.close()


REFUSED = [
    (("Host: evil.example:8789",), b"host_not_allowed"),
    ((), b"host_not_allowed"),
    (("Host: 127.0.0.1", "Origin: https://evil.example"), b"origin_not_allowed"),
    (("Host: 127.0.0.1", "Sec-Fetch-Site: cross-site"), b"origin_not_allowed"),
    (("Host: 127.0.0.1", "X-Forwarded-For: 8.8.8.8"), b"proxy_not_allowed"),
]


@pytest.mark.parametrize(("headers", "code"), REFUSED)
@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/nothing"])
async def test_strangers_are_refused(headers: tuple[str, ...], code: bytes, path: str) -> None:
    async with exporter() as port:
        answer = await ask(port, *headers, path=path)
    assert answer.startswith(b"HTTP/1.0 403")
    assert code in answer
    assert b"up 1" not in answer


@pytest.mark.parametrize("host", ["127.0.0.1:8789", "localhost:8789", "[::1]:8789"])
async def test_this_machine_may_ask(host: str) -> None:
    async with exporter() as port:
        assert b"# TYPE" in await ask(port, f"Host: {host}")


@pytest.mark.parametrize("host", ["exporter:8789", "10.0.0.5:8789"])
async def test_an_exposed_one_answers_by_the_names_of_its_network(host: str) -> None:
    async with exporter("0.0.0.0:8789") as port:
        assert b"# TYPE" in await ask(port, f"Host: {host}")
        assert b"403" in await ask(port, "Host: evil.example")


async def test_the_token_opens_by_whatever_name_but_not_for_a_page() -> None:
    async with exporter("0.0.0.0:8789", TOKEN) as port:
        mine = f"Authorization: Bearer {TOKEN}"
        assert b"# TYPE" in await ask(port, mine, "Host: metrics.example.org", "X-Forwarded-For: 8.8.8.8")
        assert b"403" in await ask(port, mine, "Host: metrics.example.org", "Origin: https://evil.example")


async def test_health_is_for_everybody() -> None:
    async with exporter() as port:
        assert (await ask(port, "Host: any.example", path="/healthz")).startswith(b"HTTP/1.0 200")


@pytest.mark.parametrize("byte", ["\x01", "\x00", "\x7f", "\x1f"])
async def test_a_malformed_request_brings_no_token_out(byte: str, caplog: pytest.LogCaptureFixture) -> None:
    async with exporter(token=TOKEN) as port:
        answer = await ask(port, "Host: 127.0.0.1", f"Authorization: Bearer {TOKEN}{byte}")
    assert answer.startswith(b"HTTP/1.0 400")
    assert TOKEN.encode() not in answer
    assert TOKEN not in caplog.text
