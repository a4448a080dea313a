"""Credentials as a running proxy uses them: what one process lacks is no other one's trouble, and no file
holds up a request."""

from __future__ import annotations

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from sqlalchemy import Engine

from ledger.accounts import changes as accounts
from ledger.accounts.configured import Description
from ledger.accounts.pool import read_fleet
from proxy.errors import CredentialError
from proxy.service import Service, serving
from settings.model import Settings
from tests.support.ledgers import migrated


@dataclass
class Provider:
    """Answers whoever has a good token, and takes its time to give a new one."""

    good: set[str] = field(default_factory=lambda: {"good"})
    delay: float = 0.0
    refreshes: int = 0
    polled: list[str] = field(default_factory=list)
    origin: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if request.path == "/token":
            self.refreshes += 1
            await asyncio.sleep(self.delay)
            self.good.add("new")
            return web.json_response({"access_token": "new", "refresh_token": "refresh-new"})
        if request.path.endswith("/wham/usage"):
            self.polled.append(token)
        if token not in self.good:
            return web.json_response({"error": {"code": "token_expired"}}, status=401)
        return web.json_response({"rate_limit": {"primary_window": {"used_percent": 1}}})


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    place = Provider()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", place.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    place.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield place
    await runner.cleanup()


Serve = Callable[..., AbstractAsyncContextManager[Service]]


@pytest.fixture
def serve(provider: Provider, tmp_path: Path) -> Serve:
    """Makes a proxy on the ledger that all of them share, with an environment of its own."""

    def make(
        configured: dict[str, Any] | None = None, *, poll: float = 0.0, **environ: str
    ) -> AbstractAsyncContextManager[Service]:
        document = {
            "server": {
                "listen_addr": "127.0.0.1:0",
                "upstream_base_url": provider.origin,
                "backend_base_url": provider.origin,
                "shutdown_timeout_seconds": 1,
            },
            "storage": {"database_path": str(tmp_path / "usage.db")},
            "routing": {
                "token_url": f"{provider.origin}/token",
                "poll_seconds": poll,
                "snapshot_refresh_seconds": 0.3,
            },
            "accounts": configured or {},
        }
        return serving(Settings.model_validate(document), io.StringIO(), environ=environ)

    return make


@pytest.fixture
def ledger(tmp_path: Path) -> Engine:
    return migrated(tmp_path / "usage.db")


@pytest.fixture
def login(tmp_path: Path) -> Path:
    path = tmp_path / "auth.json"
    path.write_text(json.dumps({"tokens": {"access_token": "old", "refresh_token": "refresh-old"}}))
    return path


def add(ledger: Engine, name: str, credential: str) -> None:
    with ledger.begin() as connection:
        accounts.add(connection, Description(name, credential), datetime.now(UTC))


def statuses(ledger: Engine) -> dict[str, str]:
    with ledger.connect() as connection:
        return {member.account.id: member.status for member in read_fleet(connection).members}


async def ask(service: Service, path: str = "/v1/responses") -> int:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(5)) as session:
        async with session.post(f"http://127.0.0.1:{service.port}{path}", json={}) as answer:
            return answer.status


async def within(seconds: float, true: Callable[[], Any]) -> None:
    deadline = monotonic() + seconds
    while not true():
        assert monotonic() < deadline, "it does not come"
        await asyncio.sleep(0.02)


async def test_a_variable_that_one_process_lacks_is_no_mark(serve: Serve, ledger: Engine) -> None:
    add(ledger, "anna", "env:ONLY_HERE")
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(serve(ONLY_HERE="good"))
        other = await stack.enter_async_context(serve())
        assert [await ask(other) for _ in range(3)] == [503] * 3
        await asyncio.sleep(1.0)  # marks are written, and read by all
        assert [await ask(one) for _ in range(3)] == [200] * 3
    assert statuses(ledger) == {"anna": "active"}


async def test_a_file_that_comes_later_is_taken(
    serve: Serve, ledger: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add(ledger, "anna", f"file:{tmp_path}/later")
    async with serve() as service:
        assert await ask(service) == 503
        await asyncio.sleep(1.0)
        (tmp_path / "later").write_text("good")
        await asyncio.sleep(1.5)
        assert await ask(service) == 200
    assert caplog.text.count("cannot read") == 1


async def test_a_pipe_holds_up_nobody(serve: Serve, ledger: Engine, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    async with serve({"ben": {"credential": "env:BEN"}}, BEN="good") as service:
        add(ledger, "anna", f"file:{tmp_path}/pipe")
        await asyncio.sleep(1.0)
        assert [await ask(service) for _ in range(4)] == [200] * 4


@pytest.mark.parametrize("reference", ["env:NOT_THERE", "file:/nowhere/key", "codex:/dev/null"])
async def test_what_is_configured_and_cannot_be_read_is_refused_at_start(
    serve: Serve, reference: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(CredentialError, match=r"account 'anna': "):
        async with serve({"anna": {"credential": reference}}):
            pytest.fail("it started")
    assert caplog.messages == []  # it is said once


async def test_a_token_that_is_on_its_way_outlives_the_proxy(
    serve: Serve, provider: Provider, login: Path
) -> None:
    """Its caller has left, the proxy ends: the old refresh token is spent all the same."""
    provider.delay = 0.5
    table = {"anna": {"credential": f"codex:{login}", "upstream_base_url": provider.origin}}
    async with serve(table) as service:
        asking = asyncio.create_task(ask(service))
        await within(20, lambda: provider.refreshes)
        asking.cancel()
    assert json.loads(login.read_text())["tokens"] == {"access_token": "new", "refresh_token": "refresh-new"}


async def test_an_idle_login_gets_its_new_token_by_the_poll(
    serve: Serve, provider: Provider, login: Path
) -> None:
    async with serve({"anna": {"credential": f"codex:{login}"}}, poll=0.2):
        await within(20, lambda: provider.polled[:2] == ["old", "new"])
    assert json.loads(login.read_text())["tokens"]["access_token"] == "new"
    assert provider.refreshes == 1
