"""The real Codex CLI through the proxy: its turns are counted, and go on when their account does not."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ledger import store
from ledger.accounts.changes import pause
from ledger.values import Usage
from simulator.provider.script import Answer, script
from simulator.provider.upstream import serve

INSTALLED = Path(__file__).parents[3] / ".nox/codex/node_modules/.bin"
CONFIG = """
model = "gpt-5.4"
model_provider = "quotascope"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.quotascope]
name = "Quotascope"
base_url = "{base_url}"
env_key = "QUOTASCOPE_TEST_KEY"
wire_api = "responses"
"""


@pytest.fixture(scope="session")
def codex() -> str:
    """The CLI, as the nox session installs it with npm, or as it is found on the PATH."""
    path = shutil.which("codex", path=os.pathsep.join([str(INSTALLED), os.environ["PATH"]]))
    if path is None:
        reason = f"codex is not installed: npm install --prefix {INSTALLED.parents[1]} @openai/codex"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


Event = dict[str, Any]
Ask = Callable[[str], Awaitable[str]]


@pytest.fixture
def ask(codex: str, tmp_path: Path) -> Ask:
    """Runs the CLI with a question and a configuration; what it writes. It must end well."""

    async def run(config: str) -> str:
        home, work = tmp_path / "home", tmp_path / "work"
        home.mkdir()
        work.mkdir()
        (home / "config.toml").write_text(config, encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            *(codex, "exec", "--skip-git-repo-check", "say something"),
            cwd=work,
            env={
                **os.environ,
                "CODEX_HOME": str(home),
                "QUOTASCOPE_TEST_KEY": "sk-codex-0123456789abcd",
                # Whatever it would look up elsewhere ends at a closed port of this host.
                "HTTP_PROXY": "http://127.0.0.1:9",
                "HTTPS_PROXY": "http://127.0.0.1:9",
                "NO_PROXY": "127.0.0.1",
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0, output.decode()
        return output.decode()

    return run


async def test_a_turn_of_codex_is_counted(start_proxy: Any, ask: Ask) -> None:
    async with serve(script(Answer(usage=Usage(1234, 56, 1000, 20), word="brave "))) as upstream:
        proxy = await start_proxy(upstream.base_url)
        text = await ask(CONFIG.format(base_url=proxy.base_url))
        rows = [row for row in proxy.rows() if row["request_kind"] == "normal"]
    assert "brave brave" in text
    (row,) = rows
    counts = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")
    assert tuple(row[name] for name in counts) == (1234, 56, 1000, 20)
    assert (row["api"], row["status"], row["end_reason"]) == ("responses", "success", "done")
    assert f"session id: {row['session_id']}" in text
    assert row["api_key_id"] == "sk-c...abcd"
    assert row["user_agent"].startswith("codex")


def answered(number: int, item: Event) -> list[Event]:
    """The events of a turn with one item of output."""
    usage = {"input_tokens": 1000, "output_tokens": 10, "total_tokens": 1010}
    response = {"id": f"resp_{number}", "model": "gpt-5.4", "status": "completed", "usage": usage}
    return [
        {"type": "response.created", "response": {"id": f"resp_{number}"}},
        {"type": "response.output_item.done", "item": item},
        {"type": "response.completed", "response": response},
    ]


def answered_by(key: str, number: int) -> list[Event]:
    """The events of a turn that comes to an end."""
    text = {"type": "output_text", "text": f"answered by {key}"}
    item = {"type": "message", "role": "assistant", "id": f"msg_{number}", "content": [text]}
    return answered(number, item)


Answering = Callable[[str, Event], Awaitable[list[Event]]]


@asynccontextmanager
async def provider(answer: Answering) -> AsyncIterator[str]:
    """Its origin.

    Args:
        answer: the events of a turn, by the last four characters of the key that came, and the request.
    """

    async def handle(request: web.Request) -> web.StreamResponse:
        key = request.headers["Authorization"][-4:]
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        async for message in ws:
            asked = json.loads(message.data)
            for event in await answer(key, asked) if asked["type"] == "response.create" else ():
                await ws.send_json(event)
        return ws

    app = web.Application()
    app.router.add_get("/v1/responses", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def two_accounts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """`aaaa` and `bbbb`: each by the last four characters of its key."""
    for name in ("AAAA", "BBBB"):
        monkeypatch.setenv(f"KEY_{name}", f"sk-upstream-{name.lower()}")
    return {name: {"credential": f"env:KEY_{name.upper()}"} for name in ("aaaa", "bbbb")}


async def test_codex_goes_on_with_another_account_when_its_own_is_paused(
    start_proxy: Any, ask: Ask, two_accounts: dict[str, Any]
) -> None:
    turns: list[str] = []
    proxy: Any = None

    async def answer(key: str, asked: Event) -> list[Event]:
        turns.append(key)
        if len(turns) == 1:
            _pause(proxy.database, key)
            await asyncio.sleep(1.5)  # until the proxy has seen it
        return answered_by(key, len(turns))

    async with provider(answer) as origin:
        proxy = await start_proxy(origin, accounts=two_accounts)
        text = await ask(CONFIG.format(base_url=proxy.base_url) + "supports_websockets = true\n")
        rows = proxy.rows()
    mine, other = turns  # Codex asks for a turn that warms the cache before the one that counts
    assert other != mine
    assert f"answered by {other}" in text
    assert [(row["account_id"], row["end_reason"], row["error_code"]) for row in rows] == [
        (mine, "done", None),
        (mine, "refused", "no_account_paused"),
        (other, "done", None),
    ]


LIMIT = {
    "type": "usage_limit_reached",
    "message": "The usage limit has been reached",
    "resets_in_seconds": 3_000,
}
FAILURES: dict[str, Event] = {
    "usage limit": {"type": "error", "status": 429, "error": LIMIT},
    "rate limit": {
        "type": "response.failed",
        "response": {"error": {"code": "rate_limit_exceeded", "message": "Please try again in 28s."}},
    },
    "dead account": {"type": "error", "status": 403, "error": {"code": "account_deactivated"}},
    "server error": {"type": "error", "status": 500, "error": {"code": "server_error"}},
}
RETRIES = "codex_lb_proxy_retries_total"
TOOL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "no_such_tool", "arguments": "{}"}


@pytest.mark.parametrize("name", FAILURES)
async def test_codex_goes_on_with_another_account_when_its_own_fails_in_mid_conversation(
    start_proxy: Any, ask: Ask, two_accounts: dict[str, Any], name: str
) -> None:
    """The first account warms the cache and asks for a tool; what the tool said it cannot answer any more."""
    turns: list[tuple[str, Event]] = []

    async def answer(key: str, asked: Event) -> list[Event]:
        turns.append((key, asked))
        if key != turns[0][0]:
            return answered_by(key, len(turns))
        return {1: answered_by(key, 1), 2: answered(2, TOOL)}.get(len(turns), [FAILURES[name]])

    async with provider(answer) as origin:
        proxy = await start_proxy(origin, accounts=two_accounts)
        text = await ask(CONFIG.format(base_url=proxy.base_url) + "supports_websockets = true\n")
        rows, samples = proxy.rows(), proxy.samples()
    mine, other = turns[0][0], turns[-1][0]
    assert other != mine
    assert f"answered by {other}" in text
    assert [row["account_id"] for row in rows][:3] == [mine] * 3
    assert [(row["account_id"], row["error_code"]) for row in rows if row["error_code"]] == [
        (mine, rows[2]["error_code"])
    ]
    assert sum(n for name, n in samples.items() if name.startswith(RETRIES)) == 1
    assert "call_1" in json.dumps(turns[2][1]["input"])
    whole = turns[-1][1]
    assert whole.get("previous_response_id") is None
    assert "say something" in json.dumps(whole["input"])
    assert "call_1" in json.dumps(whole["input"])


def _pause(database: Path, name: str) -> None:
    engine = store.writer(store.sqlite_url(database))
    with engine.begin() as connection:
        pause(connection, name, datetime.now(UTC))
    engine.dispose()
