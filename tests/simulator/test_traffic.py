"""Traffic against a real upstream: as many requests as asked, of every kind, and a clean end."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from random import Random
from zoneinfo import ZoneInfo

import pytest

from simulator.errors import ScriptError
from simulator.history.fleet import SECRETS
from simulator.history.workload import WORKLOADS
from simulator.provider.script import Answer, Cut, Hang, Pace, Refuse, Script, script
from simulator.provider.upstream import serve
from simulator.traffic import Traffic, request, run


async def test_it_sends_as_much_as_asked_of_every_kind() -> None:
    async with serve() as upstream:
        tally = await run(Traffic(upstream.base_url, rate=200, seconds=2, impatient=0), asyncio.Event())
        log = upstream.log
    assert tally.sent == tally.answered == len(log)
    assert tally.sent == pytest.approx(400, rel=0.2)
    assert {e.api for e in log} == {"chat_completions", "responses", "embeddings"}
    assert {e.model for e in log} == {w.model for w in WORKLOADS}
    assert {e.authorization for e in log} == {f"...{secret[-4:]}" for secret in SECRETS}
    assert 0.5 < sum(e.streamed for e in log) / len(log) < 0.75
    assert all(e.usage.input_tokens for e in log)


async def test_endings_are_told_apart() -> None:
    answers = script(Answer(), Answer(fault=Refuse()), Answer(fault=Cut(after_events=None)))
    async with serve(answers) as upstream:
        tally = await run(Traffic(upstream.base_url, rate=150, seconds=1, impatient=0), asyncio.Event())
    assert tally.answered == pytest.approx(tally.sent / 3, abs=1)
    assert tally.refused == pytest.approx(tally.sent / 3, abs=1)
    assert tally.failed == pytest.approx(tally.sent / 3, abs=1)
    assert tally.reason == "Server disconnected"


async def test_impatient_callers_leave() -> None:
    async with serve(script(Answer(pace=Pace(first=3)))) as upstream:
        tally = await run(Traffic(upstream.base_url, rate=50, seconds=0.5, impatient=1), asyncio.Event())
    assert tally.left == tally.sent > 5


async def test_it_stops_when_told_to() -> None:
    stop = asyncio.Event()
    async with serve() as upstream:
        asyncio.get_running_loop().call_later(0.3, stop.set)
        before = time.monotonic()
        tally = await run(Traffic(upstream.base_url, rate=50), stop)
    assert time.monotonic() - before < 15
    assert tally.sent > 3


async def test_what_hangs_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.traffic.GRACE_SECONDS", 0.1)
    async with serve(Script((Answer(fault=Hang()),))) as upstream:
        before = time.monotonic()
        tally = await run(Traffic(upstream.base_url, rate=50, seconds=0.2, impatient=0), asyncio.Event())
    assert time.monotonic() - before < 15
    assert tally.left == tally.sent > 3


async def test_nobody_there(free_port: Callable[[], int]) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    tally = await run(Traffic(url, rate=50, seconds=0.3, impatient=0), asyncio.Event())
    assert tally.failed == tally.sent > 3
    assert "Cannot connect" in tally.reason


def test_the_same_seed_draws_the_same_requests() -> None:
    traffic = Traffic("http://x/v1")
    drawn = [[request(traffic, rng) for _ in range(50)] for rng in (Random(1), Random(1), Random(2))]
    assert drawn[0] == drawn[1] != drawn[2]


def test_chat_streams_ask_for_usage() -> None:
    traffic, rng = Traffic("http://x/v1"), Random(1)
    streams = [r for r in (request(traffic, rng) for _ in range(300)) if r.body.get("stream")]
    by_path = Counter(r.path for r in streams)
    assert set(by_path) == {"/chat/completions", "/responses"}
    for each in streams:
        assert ("stream_options" in each.body) == (each.path == "/chat/completions")
        json.dumps(each.body)


async def test_the_rhythm_changes_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    for busy in (0.05, 1.0):
        monkeypatch.setattr("simulator.traffic.busyness", lambda local, busy=busy: busy)
        async with serve() as upstream:
            traffic = Traffic(upstream.base_url, rate=100, seconds=0.6, rhythm=ZoneInfo("UTC"))
            sent.append((await run(traffic, asyncio.Event())).sent)
    assert sent[0] < 0.3 * sent[1]


@pytest.mark.parametrize(
    ("rate", "seconds", "message"),
    [(0, None, "rate = 0"), (-1, None, "rate = -1"), (20_000, None, "at most 10000"), (1, 0, "seconds = 0")],
)
def test_what_cannot_be(rate: float, seconds: float | None, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        Traffic("http://x/v1", rate=rate, seconds=seconds)
