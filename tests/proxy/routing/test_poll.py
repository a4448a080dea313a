"""The question about quota, and what its answer tells."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from ledger.values import UsageSample
from proxy.accounts.credentials import Credential
from proxy.accounts.quota_poller import parse_usage, poll
from proxy.errors import PollFailed

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
EPOCH = int(NOW.timestamp())
ANSWER = {
    "plan_type": "plus",
    "rate_limit": {
        "allowed": True,
        "primary_window": {
            "used_percent": 12,
            "limit_window_seconds": 18_000,
            "reset_after_seconds": 600,
            "reset_at": EPOCH + 601,
        },
        "secondary_window": {
            "used_percent": 34.5,
            "limit_window_seconds": 604_800,
            "reset_after_seconds": 600,
        },
    },
    "credits": {"has_credits": True, "unlimited": False, "balance": "9.99"},
}


def test_both_windows_are_read() -> None:
    assert parse_usage(json.dumps(ANSWER).encode(), "anna", NOW) == (
        UsageSample("anna", NOW, "primary", 12.0, EPOCH + 601, 300, True, False, 9.99),
        UsageSample("anna", NOW, "secondary", 34.5, EPOCH + 600, 10_080, True, False, 9.99),
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["rate_limit", "primary_window", "used_percent", "reset_at", "credits", "balance"]
            ),
            inner,
        )
    ),
)


@given(JSON.map(lambda d: json.dumps(d).encode()) | st.binary(max_size=50))
def test_no_answer_breaks_it(body: bytes) -> None:
    for sample in parse_usage(body, "anna", NOW):
        assert sample.used_percent >= 0


def test_a_deep_answer_breaks_nothing() -> None:
    assert parse_usage(b"[" * 100_000, "anna", NOW) == ()


@pytest.fixture
async def provider() -> AsyncIterator[dict[str, Any]]:
    seen: dict[str, Any] = {"answer": (200, ANSWER)}

    async def handle(request: web.Request) -> web.Response:
        seen["headers"] = dict(request.headers)
        seen["path"] = request.path
        return web.json_response(seen["answer"][1], status=seen["answer"][0])

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    seen["base"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield seen
    await runner.cleanup()


async def ask(base: str) -> tuple[UsageSample, ...]:
    async with aiohttp.ClientSession() as client:
        return await poll(client, base, "anna", Credential("token", "r", "acc-1"))


@pytest.mark.parametrize("path", ["", "/", "/backend-api/codex", "/v1"])
async def test_the_question_goes_to_the_host_with_the_login(provider: dict[str, Any], path: str) -> None:
    samples = await ask(provider["base"] + path)
    assert [s.used_percent for s in samples] == [12, 34.5]
    assert provider["path"] == "/backend-api/wham/usage"
    assert provider["headers"]["Authorization"] == "Bearer token"
    assert provider["headers"]["chatgpt-account-id"] == "acc-1"


@pytest.mark.parametrize(("status", "body"), [(401, {}), (500, ANSWER), (302, {}), (200, {}), (200, [])])
async def test_what_is_no_answer_says_its_status(provider: dict[str, Any], status: int, body: object) -> None:
    provider["answer"] = (status, body)
    with pytest.raises(PollFailed) as caught:
        await ask(provider["base"])
    assert caught.value.status == status
    assert "token" not in str(caught.value)


async def test_a_provider_that_is_not_there() -> None:
    with pytest.raises(PollFailed) as caught:
        await ask("http://127.0.0.1:1")
    assert caught.value.status == 0
