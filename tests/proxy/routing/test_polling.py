"""Logins are asked for their quota again and again, with a new token where the old one is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from ledger.accounts.configured import Description
from ledger.accounts.pool import Member
from ledger.quota.samples import Told
from ledger.values import UsageSample
from proxy.accounts.credential_cache import Vault
from proxy.accounts.quota_poller import Polling

if TYPE_CHECKING:
    from tests.proxy.routing.conftest import Stand

QUOTA = {"rate_limit": {"primary_window": {"used_percent": 12}}}
FAILURES = "codex_lb_usage_refresh_failures_total"


@dataclass
class Provider:
    """Tells quota to whoever has a good token, and refreshes tokens while `grants` last."""

    good: set[str] = field(default_factory=set)
    quota: str = json.dumps(QUOTA)
    grants: int = 9
    asked: list[str] = field(default_factory=list)
    refreshed: int = 0
    origin: str = ""

    async def usage(self, request: web.Request) -> web.Response:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        self.asked.append(token)
        return web.Response(text=self.quota, status=200 if token in self.good else 401)

    async def refresh(self, request: web.Request) -> web.Response:
        if self.refreshed >= self.grants:
            return web.json_response({"error": {"code": "refresh_token_expired"}}, status=401)
        self.refreshed += 1
        return web.json_response({"access_token": f"new-{self.refreshed}", "refresh_token": "r"})


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    place = Provider()
    app = web.Application()
    app.router.add_get("/backend-api/wham/usage", place.usage)
    app.router.add_post("/token", place.refresh)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    place.origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield place
    await runner.cleanup()


@dataclass
class Scene:
    """A polling, its vault, and what it learnt."""

    polling: Polling
    vault: Vault
    took: list[UsageSample]

    async def polls(self, times: int = 1) -> list[str]:
        """Polls; whose quota was learnt by that."""
        before = len(self.took)
        for _ in range(times):
            await self.polling.once()
        return [sample.account_id for sample in self.took[before:]]


Begin = Callable[..., Any]


@pytest.fixture
async def begin(provider: Provider, stand: Stand) -> AsyncIterator[Begin]:
    """Starts polling accounts."""
    async with aiohttp.ClientSession() as client:

        async def make(*members: Member, base: str | None = None, seconds: float = 60.0) -> Scene:
            vault = Vault({"KEY": "key"}, client, f"{provider.origin}/token", stand.counting.token_refused)
            took: list[UsageSample] = []
            stand.load(*members)
            await vault.load(members)
            how: dict[str, Any] = {"base": base or provider.origin, "seconds": seconds}
            polling = Polling(stand.router, vault, client, stand.counting, took.extend, **how)
            return Scene(polling, vault, took)

        yield make


@pytest.fixture
def login(tmp_path: Path) -> Callable[..., Member]:
    """Makes an account with a login."""

    def make(
        name: str = "anna", *, base: str | None = None, refresh: str | None = "r", **other: Any
    ) -> Member:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"tokens": {"access_token": f"old-{name}", "refresh_token": refresh}}))
        described = Description(name, f"codex:{path}", plan="plus", upstream_base_url=base)
        return Member(described, other.pop("status", "active"), "command", **other)

    return make


MakeLogin = Callable[..., Member]


async def test_logins_are_asked_for_and_keys_are_not(
    provider: Provider, begin: Begin, login: MakeLogin
) -> None:
    provider.good = {"old-anna", "old-ben", "key"}
    key = Member(Description("key", "env:KEY"), "active", "command")
    scene = await begin(login("anna"), key, login("ben", refresh=None))
    assert await scene.polls() == ["anna", "ben"]


async def test_who_is_out_or_has_told_lately_is_not_asked(
    provider: Provider, begin: Begin, login: MakeLogin
) -> None:
    provider.good = {"old-anna", "old-ben", "old-carl", "old-dora"}
    now = datetime.now(UTC)
    scene = await begin(
        login("anna", status="paused"),
        login("ben", primary=Told(now, 1.0)),
        login("carl", status="quota_exceeded"),
        login("dora", primary=Told(now.replace(year=2020), 1.0)),
        login("emil", status="reauth_required"),
    )
    assert await scene.polls() == ["carl", "dora"]


async def test_a_token_that_is_too_old_is_renewed(
    provider: Provider, begin: Begin, login: MakeLogin, stand: Stand
) -> None:
    """An idle login has no request that would do it."""
    provider.good = {"new-1"}
    scene = await begin(login())
    assert await scene.polls(2) == ["anna", "anna"]
    assert provider.asked == ["old-anna", "new-1", "new-1"]
    assert {value for name, value in stand.samples().items() if name.startswith(FAILURES)} == {0}


async def test_a_login_that_is_over_is_marked_as_a_request_would(
    provider: Provider, begin: Begin, login: MakeLogin, stand: Stand
) -> None:
    provider.grants = 0
    stand.now = time()
    scene = await begin(login())
    assert await scene.polls() == []
    assert [(m.account_id, m.status, m.code) for m in stand.marks] == [
        ("anna", "reauth_required", "refresh_token_expired")
    ]
    samples = stand.samples()
    assert samples[f'{FAILURES}{{phase="token",status_code="401"}}'] == 1
    assert samples[f'{FAILURES}{{phase="usage",status_code="401"}}'] == 0


async def test_a_new_token_that_is_refused_too_is_not_renewed_again_and_again(
    provider: Provider, begin: Begin, login: MakeLogin, stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    scene = await begin(login())
    assert await scene.polls(3) == []
    assert provider.refreshed == 1
    assert stand.marks == []
    assert stand.samples()[f'{FAILURES}{{phase="usage",status_code="401"}}'] == 3
    assert len(caplog.messages) == 1


async def test_without_a_refresh_token_nothing_is_renewed(
    provider: Provider, begin: Begin, login: MakeLogin
) -> None:
    scene = await begin(login(refresh=None))
    assert await scene.polls() == []
    assert provider.refreshed == 0


async def test_one_account_hinders_no_other(
    provider: Provider, begin: Begin, login: MakeLogin, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it is: an address that no check foresaw is a fault in here, with a traceback."""
    provider.good = {"old-ben"}
    scene = await begin(login("anna", base="http://[::1"), login("ben"))
    assert await scene.polls(2) == ["ben", "ben"]
    assert caplog.text.count("account 'anna'") == caplog.text.count("Traceback") == 1


async def test_a_failure_is_told_again_when_it_went_well_meanwhile(
    provider: Provider, begin: Begin, login: MakeLogin, caplog: pytest.LogCaptureFixture
) -> None:
    provider.good, provider.quota = {"old-anna"}, "[" * 100_000
    scene = await begin(login())
    assert await scene.polls(2) == []
    provider.quota = json.dumps(QUOTA)
    assert await scene.polls() == ["anna"]
    provider.quota = "{}"
    assert await scene.polls(2) == []
    assert len(caplog.messages) == caplog.text.count("reports no quota window") == 2


async def test_it_goes_on_until_it_is_cancelled(provider: Provider, begin: Begin, login: MakeLogin) -> None:
    provider.good, provider.quota = {"old-anna"}, "[" * 100_000
    scene = await begin(login(), seconds=0.02)
    running = asyncio.create_task(scene.polling.run())
    await until(lambda: len(provider.asked) >= 3)
    provider.quota = json.dumps(QUOTA)
    await until(lambda: scene.took)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def until(true: Callable[[], object]) -> None:
    end = time() + 5
    while not true():
        assert time() < end, "it does not come"
        await asyncio.sleep(0.01)


async def test_a_login_that_this_process_does_not_hold_is_passed_over(
    provider: Provider, begin: Begin, login: MakeLogin, caplog: pytest.LogCaptureFixture
) -> None:
    gone = replace(login("gone"), account=Description("gone", "codex:/nowhere/auth.json"))
    scene = await begin(gone)
    assert await scene.polls() == []
    assert (provider.asked, caplog.messages) == ([], [])
