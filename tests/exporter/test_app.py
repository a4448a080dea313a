from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from exporter.app import SHUTDOWN_SECONDS, application
from exporter.scrape import Scrape
from metrics.exporter import ACCOUNTS
from metrics.exposition import Beginnings, Exposition, Samples
from serving.service import listening


def taken(values: Mapping[str, float], **errors: str) -> Scrape:
    return Scrape(Exposition([Samples(ACCOUNTS, {(k,): v for k, v in values.items()})], Beginnings()), errors)


GOOD = taken({"active": 1})
BAD = taken({}, accounts="locked", spend="locked")
TOKEN = "correct horse battery"


def serve(app: web.Application) -> AbstractAsyncContextManager[int]:
    return listening(app, "exporter", "127.0.0.1", 0, shutdown_seconds=SHUTDOWN_SECONDS)


@asynccontextmanager
async def client(
    scrape: Callable[[], Scrape], token: str | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a real server on a free port."""
    async with (
        serve(application(scrape, token)) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        yield session


async def test_metrics_are_text_that_prometheus_knows() -> None:
    async with client(lambda: GOOD) as session, session.get("/metrics") as answer:
        assert (answer.status, await answer.read()) == (200, GOOD.text)
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert answer.charset == "utf-8"


async def test_openmetrics_for_who_asks_for_it() -> None:
    accept = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    async with client(lambda: GOOD) as session, session.get("/metrics", headers=accept) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        text = await answer.text()
    assert 'codex_lb_accounts_total{status="active"} 1.0\n' in text
    assert text.endswith("\n# EOF\n")


async def test_ready_while_every_collector_can_read() -> None:
    async with client(lambda: GOOD) as session, session.get("/readyz") as answer:
        assert (answer.status, await answer.text()) == (200, "ready\n")


async def test_not_ready_names_who_cannot_read() -> None:
    async with client(lambda: BAD) as session:
        async with session.get("/readyz") as answer:
            assert answer.status == 503
            assert (await answer.text()).startswith("not ready: accounts, spend cannot be read")
        async with session.get("/metrics") as answer:
            assert (answer.status, await answer.read()) == (200, BAD.text)


async def test_ready_again_as_soon_as_they_can() -> None:
    states = iter([BAD, GOOD])
    async with client(lambda: next(states)) as session:
        for status in (503, 200):
            async with session.get("/readyz") as answer:
                assert answer.status == status


class Blocked:
    """A scrape that ends when it is told to, and counts how often it was begun."""

    def __init__(self) -> None:
        self.calls = 0
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self) -> Scrape:
        self.calls += 1
        self.begun.set()
        assert self.go.wait(10)
        return GOOD


async def test_alive_while_a_scrape_blocks_and_scrapes_share_it() -> None:
    blocked = Blocked()
    async with client(blocked) as session:
        scrapes = [asyncio.create_task(session.get("/metrics")) for _ in range(5)]
        assert await asyncio.to_thread(blocked.begun.wait, 10)
        async with asyncio.timeout(2), session.get("/healthz") as answer:
            assert (answer.status, await answer.text()) == (200, "ok\n")
        assert not any(scrape.done() for scrape in scrapes)
        blocked.go.set()
        assert [(await scrape).status for scrape in scrapes] == [200] * 5
    assert blocked.calls == 1


async def test_a_client_that_leaves_does_not_end_the_scrape_of_another() -> None:
    blocked = Blocked()
    async with client(blocked) as session:
        with pytest.raises(asyncio.TimeoutError):
            async with asyncio.timeout(0.2), session.get("/metrics"):
                pass
        other = asyncio.create_task(session.get("/metrics"))
        await asyncio.sleep(0.1)
        blocked.go.set()
        assert (await other).status == 200
    assert blocked.calls == 1


async def test_the_scrape_under_way_is_answered_before_the_end() -> None:
    blocked = Blocked()
    async with aiohttp.ClientSession() as session:
        async with serve(application(blocked)) as port:
            scrape = asyncio.create_task(session.get(f"http://127.0.0.1:{port}/metrics"))
            assert await asyncio.to_thread(blocked.begun.wait, 10)
            asyncio.get_running_loop().call_later(0.2, blocked.go.set)
        async with await scrape as answer:
            assert (answer.status, await answer.read()) == (200, GOOD.text)


class TestToken:
    @pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Bearer   {TOKEN} "])
    async def test_who_has_it_may_read(self, header: str) -> None:
        async with (
            client(lambda: GOOD, TOKEN) as session,
            session.get("/metrics", headers={"Authorization": header}) as answer,
        ):
            assert answer.status == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": TOKEN},
            {"Authorization": "Bearer schlüssel"},
        ],
    )
    async def test_who_has_not_is_told_how_and_nothing_is_read(self, headers: dict[str, str]) -> None:
        calls: list[int] = []

        def scrape() -> Scrape:
            calls.append(1)
            return GOOD

        async with client(scrape, TOKEN) as session, session.get("/metrics", headers=headers) as answer:
            assert answer.status == 401
            assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
            assert TOKEN not in await answer.text()
        assert calls == []

    @pytest.mark.parametrize("path", ["/healthz", "/readyz"])
    async def test_health_needs_none(self, path: str) -> None:
        async with client(lambda: GOOD, TOKEN) as session, session.get(path) as answer:
            assert answer.status == 200


async def test_a_scrape_is_compressed_for_who_accepts_that() -> None:
    long = taken({f"status {number}": number for number in range(1_000)})
    async with serve(application(lambda: long)) as port:
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            address = f"http://127.0.0.1:{port}/metrics"
            async with session.get(address, headers={"Accept-Encoding": "gzip"}) as answer:
                assert answer.headers["Content-Encoding"] == "gzip"
                body = await answer.read()
                assert gzip.decompress(body) == long.text
                assert len(body) < len(long.text) / 4
            async with session.get(address, headers={"Accept-Encoding": "identity"}) as answer:
                assert "Content-Encoding" not in answer.headers
                assert await answer.read() == long.text
