"""Requests through a real proxy with several accounts: who is asked, who is asked next, who may ask."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ledger import store
from ledger.accounts import changes as accounts
from ledger.values import Usage
from proxy.errors import CredentialError
from simulator.provider.script import Answer, Asked, Refuse
from simulator.provider.upstream import Upstream, serve

QUESTION = {"model": "gpt-5.4", "input": "hi"}


class ByKey:
    """Answers by the last four characters of the key that came."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers

    def answer(self, asked: Asked) -> Answer:
        return self.answers.get((asked.authorization or "")[-4:], Answer(usage=Usage(1000, 100, 0, 0)))


LIMITED = Answer(fault=Refuse(429, "rate_limit_exceeded", "requests", "Please try again in 60 s."))
SPENT = Answer(fault=Refuse(429, "usage_limit_reached", "usage", "The usage limit has been reached."))
DEAD = Answer(fault=Refuse(401, "account_deactivated", "invalid_request_error", "Deactivated."))
WRONG = Answer(fault=Refuse(400, "invalid_value", "invalid_request_error", "No."))
BROKEN = Answer(fault=Refuse(500, "server_error", "server_error", "Oops."))


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("aaaa", "bbbb", "cccc"):
        monkeypatch.setenv(f"KEY_{name.upper()}", f"sk-upstream-{name}")


def described(*names: str, **more: Any) -> dict[str, Any]:
    return {n: {"credential": f"env:KEY_{n.upper()}", "email": f"{n}@example.org", **more} for n in names}


async def ask(proxy: Any, times: int = 1, **headers: str) -> list[tuple[int, dict[str, Any]]]:
    found = []
    async with aiohttp.ClientSession(headers=headers) as session:
        for _ in range(times):
            async with session.post(proxy.base_url + "/responses", json=QUESTION) as answer:
                found.append((answer.status, await answer.json()))
    return found


def asked_of(upstream: Upstream) -> Counter[str]:
    return Counter(entry.authorization[-4:] for entry in upstream.log if entry.authorization)


async def test_requests_are_spread_and_the_callers_credential_ends_here(start_proxy: Any, keys: None) -> None:
    async with serve(ByKey()) as upstream:
        proxy = await start_proxy(upstream.base_url, accounts=described("aaaa", "bbbb"))
        answers = await ask(proxy, 40, Authorization="Bearer sk-of-the-caller", Cookie="mine")
        assert {status for status, _ in answers} == {200}
        assert set(asked_of(upstream)) == {"aaaa", "bbbb"}
        assert min(asked_of(upstream).values()) >= 10
        for entry in upstream.log:
            assert "Cookie" not in dict(entry.request_headers)
        rows = proxy.rows()
    assert Counter(row["account_id"] for row in rows) == asked_of(upstream)
    samples = proxy.samples()
    selected = [value for name, value in samples.items() if name.startswith("codex_lb_lb_select_total")]
    assert sum(selected) == 40 + samples_before_full(samples)
    assert not any("upstream" in str(row.values()) for row in rows)


def samples_before_full(samples: dict[str, float]) -> float:
    """Tries in the pinned pool, which has nobody."""
    pinned = (v for n, v in samples.items() if "lb_select_total" in n and 'pool="pinned"' in n)
    return sum(pinned)


@pytest.mark.parametrize("failing", [LIMITED, SPENT, DEAD, BROKEN])
async def test_a_failing_account_is_left_for_another(start_proxy: Any, keys: None, failing: Answer) -> None:
    async with serve(ByKey(aaaa=failing)) as upstream:
        proxy = await start_proxy(upstream.base_url, accounts=described("aaaa", "bbbb"))
        answers = await ask(proxy, 12)
        assert {status for status, _ in answers} == {200}
        assert asked_of(upstream)["bbbb"] == 12
        rows = proxy.rows()
    failed = [row for row in rows if row["status"] == "error"]
    assert len(failed) == asked_of(upstream)["aaaa"] >= 1
    for row in failed:
        (other,) = [r for r in rows if r["request_id"] == row["request_id"] and r is not row]
        assert (other["account_id"], other["status"]) == ("bbbb", "success")
    if failing is not BROKEN:
        assert len(failed) == 1, "a mark keeps requests away"
    retries = sum(v for n, v in proxy.samples().items() if n.startswith("codex_lb_proxy_retries_total"))
    assert retries == len(failed)


async def test_a_request_at_fault_is_not_sent_again(start_proxy: Any, keys: None) -> None:
    async with serve(ByKey(aaaa=WRONG, bbbb=WRONG)) as upstream:
        proxy = await start_proxy(upstream.base_url, accounts=described("aaaa", "bbbb"))
        ((status, document),) = await ask(proxy)
        assert (status, document["error"]["code"]) == (400, "invalid_value")
        assert len(upstream.log) == 1


async def test_without_an_account_that_can_the_last_answer_is_the_clients(
    start_proxy: Any, keys: None
) -> None:
    async with serve(ByKey(aaaa=LIMITED, bbbb=LIMITED)) as upstream:
        proxy = await start_proxy(upstream.base_url, accounts=described("aaaa", "bbbb"))
        ((status, document),) = await ask(proxy)
        assert (status, document["error"]["code"]) == (429, "rate_limit_exceeded")
        assert len(upstream.log) == 2
        async with aiohttp.ClientSession() as session:
            async with session.post(proxy.base_url + "/responses", json=QUESTION) as answer:
                document = await answer.json()
        assert answer.status == 429
        assert document["error"]["code"] == "no_account_rate_limited"
        assert 30 <= int(answer.headers["Retry-After"]) <= 61  # rounded up
        assert len(upstream.log) == 2, "nobody was asked who cannot answer"


async def test_pause_and_resume_by_command_hold_within_two_seconds(start_proxy: Any, keys: None) -> None:
    async with serve(ByKey()) as upstream:
        proxy = await start_proxy(upstream.base_url, accounts=described("aaaa", "bbbb"))
        engine = store.writer(store.sqlite_url(proxy.database))
        for change, others in ((accounts.pause, {"bbbb"}), (accounts.resume, {"aaaa", "bbbb"})):
            with engine.begin() as connection:
                change(connection, "aaaa", datetime.now(UTC))
            await asyncio.sleep(1.5)
            before = len(upstream.log)
            await ask(proxy, 20)
            assert {e.authorization[-4:] for e in upstream.log[before:] if e.authorization} == others
        engine.dispose()


async def test_only_those_with_a_proxy_key_come_in_and_only_within_their_budget(
    start_proxy: Any, keys: None
) -> None:
    digest = hashlib.sha256(b"sk-proxy-team-0001").hexdigest()
    async with serve(ByKey()) as upstream:
        proxy = await start_proxy(
            upstream.base_url,
            accounts=described("aaaa"),
            routing={"require_proxy_key": True},
            proxy_keys={"team": {"sha256": digest, "daily_usd": "0.01"}},
        )
        ((status, document),) = await ask(proxy, Authorization="Bearer sk-somebody-else")
        assert (status, document["error"]["code"]) == (401, "invalid_proxy_key")
        mine: Any = {"Authorization": "Bearer sk-proxy-team-0001"}
        # (1000 * 2.5 + 100 * 15) / 1e6 = 0.004 each: the third one goes beyond a cent
        assert [status for status, _ in await ask(proxy, 3, **mine)] == [200] * 3
        ((status, document),) = await ask(proxy, **mine)
        assert (status, document["error"]["code"]) == (429, "budget_exceeded")
        assert "daily budget of $0.01" in document["error"]["message"]
        assert len(upstream.log) == 3
        assert {row["api_key_id"] for row in proxy.rows() if row["status"] == "success"} == {"team"}


async def test_a_missing_credential_stops_the_start_and_names_the_account(start_proxy: Any) -> None:
    with pytest.raises(CredentialError, match=r"account 'aaaa': the environment variable KEY_AAAA"):
        await start_proxy("http://127.0.0.1:9", accounts=described("aaaa"))


async def test_no_secret_is_written(
    start_proxy: Any, keys: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with serve(ByKey(aaaa=DEAD)) as upstream:
        proxy = await start_proxy(upstream.base_url, accounts=described("aaaa", "bbbb"))
        await ask(proxy, 4)
        proxy.rows()
        text = proxy.log.getvalue() + "".join(capfd.readouterr())
    for file in tmp_path.iterdir():
        text += file.read_bytes().decode("latin-1")
    assert "sk-upstream" not in text
