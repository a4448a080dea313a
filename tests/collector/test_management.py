"""What a gateway may answer by HTTP: bounded, and none of it stops the collector."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

from collector.errors import AnswerLost, Unreachable
from collector.inbox import Inbox
from collector.transport import management
from collector.transport.login import Login
from collector.transport.management import MAX_EVENTS, Management, split_array


@pytest.mark.parametrize(
    ("body", "found"), [(b"[" * 99_999, 0), (b"[1," + b"[" * 99_999, 1)], ids=["at once", "later"]
)
def test_an_array_that_is_too_deep_breaks_off(body: bytes, found: int) -> None:
    assert len(split_array(body)) == found
    with pytest.raises(AnswerLost) as error:
        split_array(body, whole=True)
    assert len(error.value.salvaged) == found


def test_of_far_more_events_than_were_asked_for_the_first_are_kept() -> None:
    assert len(split_array(b"[" + b"1," * (MAX_EVENTS - 1) + b"1]", whole=True)) == MAX_EVENTS
    with pytest.raises(AnswerLost) as error:
        split_array(b"[" + b"1," * MAX_EVENTS + b"1]", whole=True)
    assert len(error.value.salvaged) == MAX_EVENTS


@pytest.mark.parametrize("answer", [b"[" * 100_000, b"[1, " + b" " * 100_000], ids=["deep", "long"])
async def test_answers_that_are_too_long_or_too_deep_are_a_gateway_s_trouble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(management, "MAX_ANSWER", 50_000 if b" " in answer else 2**20)

    async def handle(_: web.BaseRequest) -> web.Response:
        return web.Response(body=answer, content_type="application/json")

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    asked = Management(
        url, Login("cpa", "env:KEY", Inbox(tmp_path / "inbox.db"), {"KEY": "management-key-1"}), "cpa", None
    )
    try:
        async with asyncio.timeout(30):
            with pytest.raises(AnswerLost):
                await asked.pop(500)
            with pytest.raises(Unreachable):
                await asked.counted()
    finally:
        await asked.close()
        await runner.cleanup()
