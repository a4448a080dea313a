"""Tokens are refreshed, once for all who wait, and kept in the file that they came from."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from ledger.accounts.configured import Description
from ledger.accounts.pool import Member
from proxy.accounts.credential_cache import Vault
from proxy.errors import CredentialError, RefreshRefused, TokenUnavailable


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


MakeVault = Callable[..., Awaitable[Vault]]


@pytest.fixture
def make_vault(token_url: TokenUrl, client: aiohttp.ClientSession, member: Member) -> MakeVault:
    """A vault that has read accounts; the login alone where nothing else is said."""

    async def make(*members: Member, url: str | None = None, **environ: str) -> Vault:
        vault = Vault(environ, client, url or token_url.url, token_url.refused.append)
        await vault.load(members or [member])
        return vault

    return make


async def test_a_new_token_is_used_and_kept(
    token_url: TokenUrl, make_vault: MakeVault, login: Path, member: Member
) -> None:
    vault = await make_vault()
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
    token_url: TokenUrl, make_vault: MakeVault, member: Member
) -> None:
    token_url.delay = 0.05
    vault = await make_vault()
    old = vault.credential(member)
    found = await asyncio.gather(*(vault.refreshed(member, old) for _ in range(20)))
    assert {f.token for f in found} == {"access-1"}
    assert (await vault.refreshed(member, old)).token == "access-1"
    assert len(token_url.asked) == 1


async def test_processes_do_not_spend_the_same_token_twice(
    token_url: TokenUrl, make_vault: MakeVault, member: Member
) -> None:
    token_url.delay = 0.05
    vaults = [await make_vault() for _ in range(5)]
    found = await asyncio.gather(*(v.refreshed(member, v.credential(member)) for v in vaults))
    assert {f.token for f in found} == {"access-1"}
    assert len(token_url.asked) == 1


async def test_a_caller_who_leaves_ends_nothing_for_the_others(
    token_url: TokenUrl, make_vault: MakeVault, member: Member
) -> None:
    token_url.delay = 0.1
    vault = await make_vault()
    old = vault.credential(member)
    first, second = (asyncio.create_task(vault.refreshed(member, old)) for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()
    assert (await second).token == "access-1"
    assert (await vault.refreshed(member, await second)).token == "access-2"  # the lock is free again


async def test_closing_waits_for_a_token_that_is_on_its_way(
    token_url: TokenUrl, make_vault: MakeVault, login: Path, member: Member
) -> None:
    """The old refresh token is spent by then: who does not wait has lost the login."""
    token_url.delay = 0.2
    vault = await make_vault()
    caller = asyncio.create_task(vault.refreshed(member, vault.credential(member)))
    await asyncio.sleep(0.05)
    caller.cancel()
    await vault.close()
    assert json.loads(login.read_text())["tokens"]["refresh_token"] == token_url.valid == "refresh-1"
    await vault.close()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((401, {"error": {"code": "refresh_token_expired"}}), "refresh_token_expired"),
        ((401, {"error": "refresh_token_reused"}), "refresh_token_reused"),
        ((403, {"code": "refresh_token_invalidated"}), "refresh_token_invalidated"),
        ((400, {"error": "invalid_grant", "error_description": "x"}), "refresh_token_invalidated"),
        ((403, {"error": {"code": "account_deactivated"}}), "account_deactivated"),
    ],
)
async def test_a_login_that_is_over_says_why(
    token_url: TokenUrl, make_vault: MakeVault, member: Member, answer: tuple[int, object], code: str
) -> None:
    token_url.answer = answer
    vault = await make_vault()
    with pytest.raises(RefreshRefused, match="account 'anna': its token cannot be refreshed") as caught:
        await vault.refreshed(member, vault.credential(member))
    assert (caught.value.code, token_url.refused) == (code, [answer[0]])
    assert "refresh-0" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}),
        (500, {"error": "invalid_grant"}),
        (429, {"error": {"code": "rate_limit_exceeded"}}),
        (200, {}),
        (200, []),
        (200, {"access_token": "two words"}),
        (400, {"error": "invalid_request"}),
        (401, {"error": {"code": "invalid_api_key"}}),
        (401, {"error": {"code": ["odd"]}}),
        (403, {}),
        (403, "<html><title>Just a moment...</title></html>"),
        (401, "[" * 100_000),
        (302, ""),
    ],
    ids=lambda answer: f"{answer[0]} {str(answer[1])[:40]}",
)
async def test_what_may_go_better_later(
    token_url: TokenUrl, make_vault: MakeVault, login: Path, member: Member, answer: tuple[int, object]
) -> None:
    """A network in between that does not let us through says nothing of the login."""
    token_url.answer = answer
    vault, before = await make_vault(), login.read_text()
    with pytest.raises(TokenUnavailable) as caught:
        await vault.refreshed(member, vault.credential(member))
    assert [caught.value.status] == token_url.refused == [answer[0]]
    assert login.read_text() == before
    token_url.answer = None
    assert (await vault.refreshed(member, vault.credential(member))).token == "access-1"


async def test_a_token_url_that_is_not_there(
    token_url: TokenUrl, make_vault: MakeVault, member: Member
) -> None:
    vault = await make_vault(url="http://127.0.0.1:1/token")
    with pytest.raises(TokenUnavailable) as caught:
        await vault.refreshed(member, vault.credential(member))
    assert [caught.value.status] == token_url.refused == [0]


async def test_one_refusal_is_told_once_however_many_wait(
    token_url: TokenUrl, make_vault: MakeVault, member: Member
) -> None:
    token_url.answer, token_url.delay = (403, {"error": "invalid_grant"}), 0.05
    vault = await make_vault()
    old = vault.credential(member)
    waiting = (vault.refreshed(member, old) for _ in range(20))
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(error) for error in found} == {RefreshRefused}
    assert token_url.refused == [403]


async def test_a_login_that_codex_itself_renewed_is_taken_over(
    token_url: TokenUrl, make_vault: MakeVault, login: Path, member: Member
) -> None:
    vault = await make_vault()
    old = vault.credential(member)
    login.write_text(login.read_text().replace("access-0", "access-of-codex"))
    assert (await vault.refreshed(member, old)).token == "access-of-codex"
    assert token_url.asked == []


async def test_a_file_that_cannot_be_written_does_not_bring_the_old_token_back(
    make_vault: MakeVault, login: Path, member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    login.with_name(".auth.json.new").mkdir()  # in the way, for root too
    before = login.read_text()
    vault = await make_vault()
    for number in (1, 2):
        new = await vault.refreshed(member, vault.credential(member))
        assert new.token == vault.credential(member).token == f"access-{number}"
        vault.tell()
    assert login.read_text() == before
    assert [f"account 'anna': its new token could not be written to {login} (Is a directory)"] == [
        line.partition(",")[0] for line in caplog.messages
    ]


async def test_a_file_that_cannot_be_written_is_told_before_it_matters(
    make_vault: MakeVault,
    theirs: Path,
    as_nobody: Callable[[], AbstractContextManager[None]],
    login: Path,
    member: Member,
    caplog: pytest.LogCaptureFixture,
) -> None:
    theirs.write_text(login.read_text())
    theirs.chmod(0o444)
    theirs.parent.chmod(0o555)
    ben = replace(member, account=Description("ben", f"codex:{theirs}"))
    with as_nobody():
        vault = await make_vault(ben)
    vault.tell()
    assert await vault.load([ben]) == {"ben": "login"}
    vault.tell()
    assert [line.partition(":")[0] for line in caplog.messages] == ["account 'ben'"]
    assert f"{theirs} cannot be written (Permission denied)" in caplog.text


async def test_requests_read_no_file(make_vault: MakeVault, login: Path, member: Member) -> None:
    vault = await make_vault()
    login.unlink()
    assert vault.credential(member).token == "access-0"


async def test_files_are_read_beside_the_loop(client: aiohttp.ClientSession, member: Member) -> None:
    """A disk that takes its time holds up no request: the reading is in another thread."""
    threads: list[int] = []

    class Environ(dict[str, str]):
        def get(self, *args: Any) -> Any:
            threads.append(threading.get_ident())
            return super().get(*args)

    vault = Vault(Environ(KEY="k"), client, "http://127.0.0.1:1/token", lambda _: None)
    assert await vault.load([replace(member, account=Description("anna", "env:KEY"))]) == {"anna": "key"}
    assert threads
    assert threading.get_ident() not in threads


async def test_a_credential_is_read_anew_when_it_was_renewed(
    make_vault: MakeVault, login: Path, member: Member
) -> None:
    vault = await make_vault()
    login.write_text(login.read_text().replace("access-0", "access-new"))
    await vault.load([member])
    assert vault.credential(member).token == "access-0"
    renewed = replace(member, renewed_at=datetime.now(UTC))
    assert await vault.load([renewed]) == {"anna": "login"}
    assert vault.credential(renewed).token == "access-new"


async def test_a_refresh_of_before_does_not_undo_what_was_renewed(
    token_url: TokenUrl, make_vault: MakeVault, member: Member
) -> None:
    token_url.delay = 0.2
    vault = await make_vault(KEY="the-new-key")
    refreshing = asyncio.create_task(vault.refreshed(member, vault.credential(member)))
    await asyncio.sleep(0.05)
    other = replace(member, account=Description("anna", "env:KEY"))
    assert await vault.load([other]) == {"anna": "key"}
    await refreshing
    assert vault.credential(other).token == "the-new-key"


async def test_what_cannot_be_read_here_is_left_out_and_told_once(
    make_vault: MakeVault, tmp_path: Path, member: Member, caplog: pytest.LogCaptureFixture
) -> None:
    ben = replace(member, account=Description("ben", f"file:{tmp_path}/later"))
    carl = replace(member, account=Description("carl", "env:NOT_THERE"))
    vault = await make_vault(member, ben, carl)
    for _ in range(3):
        assert await vault.load([member, ben, carl]) == {"anna": "login"}
        vault.tell()
    assert [line.partition(";")[0] for line in caplog.messages] == [
        f"account 'ben': cannot read {tmp_path}/later: No such file or directory",
        "account 'carl': the environment variable NOT_THERE is not set",
    ]
    with pytest.raises(
        CredentialError, match="account 'carl': the environment variable NOT_THERE is not set"
    ):
        vault.credential(carl)
    (tmp_path / "later").write_text("key")
    assert await vault.load([member, ben, carl]) == {"anna": "login", "ben": "key"}
    assert vault.credential(ben).token == "key"


async def test_a_reference_that_is_none_hinders_no_other_account(
    make_vault: MakeVault, member: Member
) -> None:
    odd = replace(member, account=Description("odd", "vault:secret/x"))
    vault = await make_vault(odd, member)
    assert await vault.load([odd, member]) == {"anna": "login"}
    with pytest.raises(CredentialError, match="no reference that is known here"):
        vault.credential(odd)


async def test_an_account_that_is_gone_is_forgotten(make_vault: MakeVault, member: Member) -> None:
    vault = await make_vault()
    assert await vault.load([]) == {}
    with pytest.raises(CredentialError):
        vault.credential(member)


async def test_a_login_whose_file_is_gone_when_it_is_needed_is_held_no_more(
    make_vault: MakeVault, login: Path, member: Member
) -> None:
    vault, text = await make_vault(), login.read_text()
    login.unlink()
    with pytest.raises(CredentialError, match="No such file") as caught:
        await vault.refreshed(member, vault.credential(member))
    assert not isinstance(caught.value, RefreshRefused | TokenUnavailable)
    assert await vault.load([member]) == {}
    login.write_text(text.replace("access-0", "access-new"))
    assert await vault.load([member]) == {"anna": "login"}
    assert vault.credential(member).token == "access-new"
