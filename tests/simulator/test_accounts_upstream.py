"""The provider of many accounts, asked over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.fleet.accounts import ProviderAccount
from tests.support.fleet.calls import call_all
from tests.support.fleet.twenty import TWENTY, tables
from tests.support.fleet.upstream import STRANGER, AccountsUpstream, read_book, serve_accounts

FLEET = (ProviderAccount("anna", "plus", week=1), ProviderAccount("ben", "pro", login=True, token_lives=0))


async def ask(http: aiohttp.ClientSession, upstream: AccountsUpstream, token: str) -> Any:
    headers = {"Authorization": f"Bearer {token}", "x-client-request-id": "r1"}
    async with http.post(
        upstream.origin + "/v1/responses", json={"model": "gpt-5.5"}, headers=headers
    ) as answer:
        return answer, await answer.json()


async def test_answers_tell_the_quota_and_the_log_tells_the_answers(http: aiohttp.ClientSession) -> None:
    async with serve_accounts(FLEET) as upstream:
        good, document = await ask(http, upstream, FLEET[0].first_token)
        assert (good.status, document["usage"]["input_tokens"]) == (200, 1_200)
        assert good.headers["x-codex-secondary-used-percent"] == "100"
        bad, document = await ask(http, upstream, FLEET[0].first_token)
        assert (bad.status, document["error"]["code"]) == (429, "usage_limit_reached")
        assert document["error"]["resets_at"] == int(bad.headers["x-codex-secondary-reset-at"])
        await ask(http, upstream, "sk-of-nobody")
        async with http.get(upstream.origin + "/log") as answer:
            book = read_book(await answer.read())
    assert book == upstream.book
    assert [(e.request_id, e.account, e.status) for e in book.entries] == [
        ("r1", "anna", 200),
        ("r1", "anna", 429),
        ("r1", STRANGER, 401),
    ]
    assert all(e.asked_at <= e.answered_at for e in book.entries)


async def test_tokens_are_refreshed(http: aiohttp.ClientSession) -> None:
    async with serve_accounts(FLEET) as upstream:
        for status, token in ((200, "rt-simulated-ben-0"), (401, "rt-simulated-ben-0"), (401, "of-nobody")):
            async with http.post(upstream.origin + "/oauth/token", json={"refresh_token": token}) as answer:
                assert answer.status == status
        assert [(r.account, r.granted) for r in upstream.book.refreshes] == [
            ("ben", True),
            ("ben", False),
            (STRANGER, False),
        ]


async def test_a_login_may_ask_for_its_quota(http: aiohttp.ClientSession) -> None:
    async with serve_accounts(FLEET) as upstream:
        headers = {"Authorization": f"Bearer {FLEET[1].first_token}"}
        async with http.get(upstream.origin + "/backend-api/wham/usage", headers=headers) as answer:
            document = await answer.json()
    assert document["plan_type"] == "pro"
    assert document["rate_limit"]["primary_window"] is None
    assert document["rate_limit"]["secondary_window"]["limit_window_seconds"] == 604_800


async def test_callers_remember_how_it_went() -> None:
    async with serve_accounts(FLEET) as upstream:
        calls = await call_all(upstream.origin, 40, seconds=60, callers=4)
        assert sorted(int(call.request_id.removeprefix("call-")) for call in calls) == list(range(40))
        assert {(call.status, "invalid_api_key" in call.error) for call in calls} == {(401, True)}
        assert len(await call_all(upstream.origin, 40, seconds=0, least=7, callers=1)) == 7
        assert {e.request_id for e in upstream.book.entries} == {call.request_id for call in calls}
    gone = await call_all(upstream.origin, 1, seconds=60)
    assert (gone[0].status, "Cannot connect" in gone[0].error) == (0, True)


async def test_callers_go_on_until_they_are_stopped() -> None:
    stop = asyncio.Event()
    async with serve_accounts(FLEET) as upstream:
        calling = asyncio.create_task(call_all(upstream.origin, 10**9, callers=2, name="left", stop=stop))
        await asyncio.sleep(0.2)
        stop.set()
        calls = await asyncio.wait_for(calling, 10)
    assert len(calls) >= 2
    assert {(call.origin, call.request_id.partition("-")[0]) for call in calls} == {(upstream.origin, "left")}


def test_twenty_accounts_and_their_credentials(tmp_path: Path) -> None:
    described = tables(TWENTY, tmp_path, "http://127.0.0.1:9")
    assert len(described) == 20
    for account in TWENTY:
        kind, _, place = described[account.id]["credential"].partition(":")
        assert kind == ("codex" if account.login else "file")
        assert account.first_token in Path(place).read_text()
        assert ("upstream_base_url" in described[account.id]) == account.login
