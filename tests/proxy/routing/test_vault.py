"""Tokens are had anew, once for all who wait, and kept in the file that they came from."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from ledger.described import Description
from ledger.fleet import Member
from proxy.errors import RefreshRefused, TokenUnavailable
from proxy.routing.vault import Vault


@dataclass
class TokenUrl:
    """A token URL as the provider's: each refresh token works once."""

    url: str = ""
    valid: str = "refresh-0"
    issued: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    answer: tuple[int, object] | None = None
    delay: float = 0.0
    refused: list[int] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        await asyncio.sleep(self.delay)
        if self.answer is not None:
            return web.json_response(self.answer[1], status=self.answer[0])
        if self.asked[-1]["refresh_token"] != self.valid:
            return web.json_response({"error": {"code": "refresh_token_reused"}}, status=401)
        self.issued += 1
        self.valid = f"refresh-{self.issued}"
        return web.json_response({"access_token": f"access-{self.issued}", "refresh_token": self.valid})


@pytest.fixture
async def token_url() -> AsyncIterator[TokenUrl]:
    place = TokenUrl()
    app = web.Application()
    app.router.add_post("/token", place.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    place.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    yield place
    await runner.cleanup()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def login(tmp_path: Path) -> Path:
    path = tmp_path / "auth.json"
    tokens = {"access_token": "access-0", "refresh_token": "refresh-0", "account_id": "acc", "id_token": "i"}
    path.write_text(json.dumps({"OPENAI_API_KEY": None, "tokens": tokens, "else": 1}))
    path.chmod(0o600)
    return path


@pytest.fixture
def member(login: Path) -> Member:
    return Member(Description("anna", f"codex:{login}"), "active", "config")


async def test_a_new_token_is_used_and_kept(
    token_url: TokenUrl, client: aiohttp.ClientSession, login: Path, member: Member
) -> None:
    vault = Vault({}, client, token_url.url, token_url.refused.append)
    old = vault.credential(member)
    new = await vault.refreshed(member, old)
    assert (new.token, new.refresh_token, new.chatgpt_account) == ("access-1", "refresh-1", "acc")
    assert vault.credential(member) == new
    kept = json.loads(login.read_text())
    assert kept["tokens"] == {
        "access_token": "access-1",
        "refresh_token": "refresh-1",
        "account_id": "acc",
        "id_token": "i",
    }
    assert kept["else"] == 1
    assert login.stat().st_mode & 0o777 == 0o600
    assert token_url.asked[0]["grant_type"] == "refresh_token"


async def test_requests_that_fail_together_refresh_once(
    token_url: TokenUrl, client: aiohttp.ClientSession, member: Member
) -> None:
    token_url.delay = 0.05
    vault = Vault({}, client, token_url.url, token_url.refused.append)
    old = vault.credential(member)
    found = await asyncio.gather(*(vault.refreshed(member, old) for _ in range(20)))
    assert {f.token for f in found} == {"access-1"}
    assert (await vault.refreshed(member, old)).token == "access-1"
    assert len(token_url.asked) == 1


async def test_processes_do_not_spend_the_same_token_twice(
    token_url: TokenUrl, client: aiohttp.ClientSession, member: Member
) -> None:
    token_url.delay = 0.05
    vaults = [Vault({}, client, token_url.url, token_url.refused.append) for _ in range(5)]
    found = await asyncio.gather(*(v.refreshed(member, v.credential(member)) for v in vaults))
    assert {f.token for f in found} == {"access-1"}
    assert len(token_url.asked) == 1


async def test_a_caller_who_leaves_ends_nothing_for_the_others(
    token_url: TokenUrl, client: aiohttp.ClientSession, member: Member
) -> None:
    token_url.delay = 0.1
    vault = Vault({}, client, token_url.url, token_url.refused.append)
    old = vault.credential(member)
    first, second = (asyncio.create_task(vault.refreshed(member, old)) for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()
    assert (await second).token == "access-1"
    assert (await vault.refreshed(member, await second)).token == "access-2"  # the lock is free again


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((401, {"error": {"code": "refresh_token_expired"}}), "refresh_token_expired"),
        ((400, {"error": "invalid_grant"}), "refresh_token_invalidated"),
        ((403, {"error": {"code": ["odd"]}}), "refresh_token_invalidated"),
    ],
)
async def test_a_login_that_is_over_says_why(
    token_url: TokenUrl, client: aiohttp.ClientSession, member: Member, answer: tuple[int, object], code: str
) -> None:
    token_url.answer = answer
    vault = Vault({}, client, token_url.url, token_url.refused.append)
    with pytest.raises(RefreshRefused, match="account 'anna': its token cannot be refreshed") as caught:
        await vault.refreshed(member, vault.credential(member))
    assert (caught.value.code, token_url.refused) == (code, [answer[0]])
    assert "refresh-0" not in str(caught.value)


@pytest.mark.parametrize(("answer", "status"), [((500, {}), 500), ((200, {}), 200), ((200, []), 200)])
async def test_what_may_go_better_later(
    token_url: TokenUrl,
    client: aiohttp.ClientSession,
    member: Member,
    answer: tuple[int, object],
    status: int,
) -> None:
    token_url.answer = answer
    vault = Vault({}, client, token_url.url, token_url.refused.append)
    with pytest.raises(TokenUnavailable) as caught:
        await vault.refreshed(member, vault.credential(member))
    assert [caught.value.status] == token_url.refused == [status]
    token_url.answer = None
    assert (await vault.refreshed(member, vault.credential(member))).token == "access-1"


async def test_a_token_url_that_is_not_there(client: aiohttp.ClientSession, member: Member) -> None:
    refused: list[int] = []
    vault = Vault({}, client, "http://127.0.0.1:1/token", refused.append)
    with pytest.raises(TokenUnavailable) as caught:
        await vault.refreshed(member, vault.credential(member))
    assert [caught.value.status] == refused == [0]


async def test_one_refusal_is_told_once_however_many_wait(
    token_url: TokenUrl, client: aiohttp.ClientSession, member: Member
) -> None:
    token_url.answer, token_url.delay = (403, {}), 0.05
    vault = Vault({}, client, token_url.url, token_url.refused.append)
    old = vault.credential(member)
    waiting = (vault.refreshed(member, old) for _ in range(20))
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(error) for error in found} == {RefreshRefused}
    assert token_url.refused == [403]


async def test_a_login_that_codex_itself_renewed_is_taken_over(
    token_url: TokenUrl, client: aiohttp.ClientSession, login: Path, member: Member
) -> None:
    vault = Vault({}, client, token_url.url, token_url.refused.append)
    old = vault.credential(member)
    login.write_text(login.read_text().replace("access-0", "access-of-codex"))
    assert (await vault.refreshed(member, old)).token == "access-of-codex"
    assert token_url.asked == []


async def test_a_file_that_cannot_be_written_does_not_bring_the_old_token_back(
    token_url: TokenUrl, client: aiohttp.ClientSession, login: Path, member: Member
) -> None:
    login.with_name(f".{login.name}.{os.getpid()}").mkdir()  # in the way, for root too
    before = login.read_text()
    vault = Vault({}, client, token_url.url, token_url.refused.append)
    for number in (1, 2):
        new = await vault.refreshed(member, vault.credential(member))
        assert new.token == vault.credential(member).token == f"access-{number}"
    assert login.read_text() == before


async def test_a_credential_is_read_anew_when_it_was_renewed(
    token_url: TokenUrl, client: aiohttp.ClientSession, login: Path, member: Member
) -> None:
    vault = Vault({}, client, token_url.url, token_url.refused.append)
    vault.credential(member)
    login.write_text(login.read_text().replace("access-0", "access-new"))
    assert vault.credential(member).token == "access-0"
    renewed = replace(member, renewed_at=datetime.now(UTC))
    assert vault.credential(renewed).token == "access-new"
