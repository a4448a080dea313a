"""What is in the way of a gateway's events is one clear line on the page, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from collector.service import Service
from settings.model import Settings
from tests.collector.conftest import until
from tests.console.conftest import Books, Console
from tests.support.gateway.server import Gateway

CASES: Mapping[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "well": ({"retention": 3_600}, {}, "by subscribe", ""),
    "forgetful": (
        {"retention": 60},
        {},
        "keeps events for 60 s",
        "redis-usage-queue-retention-seconds to 3600",
    ),
    "refused": ({}, {"key": "env:WRONG"}, "was refused; next try in", "retried once a minute"),
    "home": ({"home": True}, {}, "governed by a Home", "Collect from the Home"),
    "management_off": ({"key": None}, {}, "no management key", "remote-management.secret-key"),
    "too_old": ({"version": "6.10.7"}, {}, "version 6.10.7 has no usage queue", "7.1.39 is recommended"),
    "no_key": ({}, {"key": "env:NOT_SET"}, "NOT_SET: it is empty", "Provide the environment variable"),
    "publishing_off": ({}, {}, "usage statistics are switched off", "usage-statistics-enabled: true"),
    "not_redis": (
        {"behind_proxy": True},
        {"transport": "resp"},
        "reverse proxy for HTTP",
        'transport = "http"',
    ),
    "banned": ({}, {}, "bans our address", "wait for the ban to expire"),
    "interrupted": (
        {"retention": 3_600},
        {},
        "1 gap in the last 24 h (disconnected)",
        "Keep the collector running",
    ),
    "unreachable": ({}, {}, "Connect call failed", "that it is running"),
}
"""What the gateway is, how it is collected from, what the page says, and what it tells to do."""

KEYS = {"KEY": "management-key-1", "WRONG": "wrong-key-000001"}


async def test_every_state_is_said_with_its_remedy(
    books: Books, serve: Callable[..., Console], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.decoder.TOLD_SECONDS", 0.2)
    console = await asyncio.to_thread(serve)
    async with AsyncExitStack() as stack:
        tables: dict[str, Any] = {}
        gateways: dict[str, Gateway] = {}
        for name, (options, table, _, _) in CASES.items():
            gateway = gateways[name] = await stack.enter_async_context(Gateway(**options))
            tables[name] = {"url": gateway.url, "key": "env:KEY", **table}
            if name == "publishing_off":
                gateway.site.publishing = False
            elif name == "banned":
                for _ in range(5):
                    gateway.access.refusal("a wrong one")
            elif name == "unreachable":
                await gateway.stop()
        own = {"listen_addr": "127.0.0.1:0", "inbox_path": str(tmp_path / "inbox.db"), "gateways": tables}
        storage = {"database_path": str(books.path)}
        settings = Settings.model_validate({"storage": storage, "collector": own})
        service = await stack.enter_async_context(Service(settings, environ=KEYS))
        connected = {one.name: one.status for one in service.gateways}
        await until(lambda: connected["interrupted"].connected)
        gateways["interrupted"].drop()
        missing = set(CASES)
        deadline = time.monotonic() + 60
        while missing:
            answer = await asyncio.to_thread(console.get, "/health/checks")
            checks = json.loads(answer.text)["checks"]
            missing = {name for name in CASES if not _is_said(checks, name)}
            said = [f"{c['title']}: {c['finding']}" for c in checks if c["title"].split(":")[0] in missing]
            assert time.monotonic() < deadline, said[-4:]
            await asyncio.sleep(0.3)
    page = (await asyncio.to_thread(console.get, "/health")).text
    assert "management-key-1" not in answer.text + page
    assert "wrong-key-000001" not in answer.text + page


def _is_said(checks: list[dict[str, str]], name: str) -> bool:
    """Whether one line of the gateway's own says it."""
    _, _, words, fix = CASES[name]
    own = [check for check in checks if check["title"].startswith(f"{name}: ")]
    return any(
        words in check["finding"] and fix in check["fix"] and "\n" not in check["finding"] for check in own
    )
