"""The Realtime API: turns that are asked for and turns that begin by themselves, each with its own counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from ledger.values import RequestEvent, Usage
from proxy.http.routes import Route
from proxy.metering.event import Caller
from proxy.metering.meter import Meter
from proxy.websocket.realtime import RealtimeTurns

if TYPE_CHECKING:
    from tests.proxy.conftest import StartProxy

SESSION = {
    "type": "session.created",
    "session": {
        "model": "gpt-realtime-2025-08-28",
        "audio": {"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}},
    },
}


def begun(name: str) -> dict[str, Any]:
    return {
        "type": "response.created",
        "response": {"id": name, "object": "realtime.response", "usage": None},
    }


def delta(name: str) -> dict[str, Any]:
    return {"type": "response.output_audio.delta", "response_id": name, "delta": "UklGRg=="}


def done(name: str, tokens: int, status: str = "completed", **more: Any) -> dict[str, Any]:
    usage = {
        "total_tokens": tokens + 10,
        "input_tokens": tokens,
        "output_tokens": 10,
        "input_token_details": {
            "text_tokens": tokens // 2,
            "audio_tokens": tokens // 2,
            "image_tokens": 0,
            "cached_tokens": tokens // 4,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": tokens // 4, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": 4, "audio_tokens": 6},
    }
    response = {"id": name, "object": "realtime.response", "status": status, "usage": usage, **more}
    return {"type": "response.done", "response": response}


def counts(tokens: int) -> Usage:
    return Usage(tokens, 10, tokens // 4, audio_input_tokens=tokens // 2 - tokens // 4, audio_output_tokens=6)


class Bench:
    """Turns and what comes out of them."""

    def __init__(self) -> None:
        self.events: list[RequestEvent] = []
        self.turns = RealtimeTurns(self._meter)

    def _meter(self, start: float, message: bytes | None) -> Meter:
        route = Route("other", "/v1/realtime", True, "generates")
        caller = Caller("GET", route, "team", "req", None, None, model="gpt-realtime")
        return Meter(caller, self.events.append, start, lambda samples: None, "anna")

    def client(self, **message: Any) -> None:
        self.turns.asked(json.dumps(message).encode())

    def provider(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            self.turns.answered(json.dumps(message).encode())


def test_each_turn_has_its_own_counts() -> None:
    bench = Bench()
    bench.provider(SESSION)
    for number in (1, 2, 3):
        bench.client(type="response.create")
        bench.provider(begun(f"r{number}"), delta(f"r{number}"), done(f"r{number}", 100 * number))
    assert [event.usage for event in bench.events] == [counts(100), counts(200), counts(300)]
    for event in bench.events:
        assert (event.status, event.end_reason, event.streamed) == ("success", "done", True)
        assert (event.model, event.requested_model) == ("gpt-realtime-2025-08-28", "gpt-realtime")
        assert event.latency_first_token_ms is not None


def test_a_turn_that_begins_by_itself() -> None:
    bench = Bench()
    bench.client(type="input_audio_buffer.append", audio="UklGRg==")
    assert not bench.turns.running
    bench.provider({"type": "input_audio_buffer.speech_started"}, begun("r1"))
    assert bench.turns.running
    bench.provider(delta("r1"), done("r1", 100))
    (event,) = bench.events
    assert (event.usage, event.status, event.model) == (counts(100), "success", "gpt-realtime")


def test_responses_side_by_side_keep_their_counts() -> None:
    bench = Bench()
    bench.client(type="response.create")
    bench.client(type="response.create", response={"conversation": "none"})
    bench.provider(begun("a"), begun("b"), delta("b"), done("b", 800), delta("a"), done("a", 100))
    assert [event.usage for event in bench.events] == [counts(800), counts(100)]


def test_an_interrupted_turn_is_billed_for_what_it_did() -> None:
    bench = Bench()
    bench.provider(begun("r1"), done("r1", 100, "cancelled", status_details={"reason": "turn_detected"}))
    (event,) = bench.events
    assert (event.usage, event.status) == (counts(100), "success")


def test_a_turn_that_failed_says_why() -> None:
    bench = Bench()
    details = {"type": "failed", "error": {"type": "server_error", "code": "rate_limit_exceeded"}}
    bench.provider(begun("r1"), done("r1", 0, "failed", status_details=details))
    (event,) = bench.events
    assert (event.status, event.error_code) == ("error", "rate_limit_exceeded")


@pytest.mark.parametrize(
    ("error", "ended"),
    [
        ({"code": "invalid_value", "event_id": "e1"}, True),
        ({"code": "invalid_value", "event_id": None}, True),
        ({"code": "response_cancel_not_active", "event_id": "e2"}, False),
    ],
)
def test_an_error_ends_the_turn_that_it_is_about(error: dict[str, Any], ended: bool) -> None:
    bench = Bench()
    bench.client(type="response.create", event_id="e1")
    bench.provider({"type": "error", "error": error})
    assert [event.error_code for event in bench.events] == (["invalid_value"] if ended else [])
    assert bench.turns.running is not ended


def test_an_error_during_an_answer_ends_nothing() -> None:
    bench = Bench()
    bench.client(type="response.create")
    bench.provider(begun("r1"), {"type": "error", "error": {"code": "x", "event_id": None}}, done("r1", 100))
    assert [(event.status, event.usage) for event in bench.events] == [("success", counts(100))]


@pytest.mark.parametrize(
    ("usage", "tokens", "units"),
    [
        ({"type": "tokens", "input_tokens": 14, "output_tokens": 5, "total_tokens": 19,
          "input_token_details": {"text_tokens": 0, "audio_tokens": 14}},
         Usage(14, 5, audio_input_tokens=14), None),
        ({"type": "duration", "seconds": 2.5}, Usage(), {"audio_seconds": 2.5}),
    ],
)  # fmt: skip
def test_what_was_said_is_written_down_by_another_model(
    usage: dict[str, Any], tokens: Usage, units: dict[str, float] | None
) -> None:
    bench = Bench()
    kind = "conversation.item.input_audio_transcription.completed"
    bench.provider(SESSION, {"type": kind, "item_id": "i", "transcript": "Hello.", "usage": usage})
    (event,) = bench.events
    assert (event.model, event.usage, event.status) == ("gpt-4o-mini-transcribe", tokens, "success")
    assert {name: float(n) for name, n in (event.extra_units or {}).items()} == (units or {})


@asynccontextmanager
async def realtime() -> AsyncIterator[str]:
    """A provider that answers what it is asked for, and once by itself when it hears sound."""

    async def handle(request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        await ws.send_json(SESSION)
        number = 0
        async for message in ws:
            if json.loads(message.data)["type"] in ("response.create", "input_audio_buffer.commit"):
                number += 1
                for event in (begun(f"r{number}"), delta(f"r{number}"), done(f"r{number}", 100 * number)):
                    await ws.send_json(event)
        return ws

    application = web.Application()
    application.router.add_get("/v1/realtime", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_three_turns_and_one_by_itself_through_a_real_proxy(start_proxy: StartProxy) -> None:
    async with realtime() as origin, aiohttp.ClientSession() as session:
        proxy = await start_proxy(origin)
        async with session.ws_connect(f"{proxy.base_url}/realtime?model=gpt-realtime") as ws:
            for kind in (
                "response.create",
                "response.create",
                "response.create",
                "input_audio_buffer.commit",
            ):
                await ws.send_json({"type": kind})
                while (await ws.receive_json())["type"] != "response.done":
                    pass
        deadline = monotonic() + 5
        while len(rows := proxy.rows()) < 4 and monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    found = [(r["model"], r["input_tokens"], r["output_tokens"], r["status"], r["end_reason"]) for r in rows]
    assert found == [("gpt-realtime-2025-08-28", n, 10, "success", "done") for n in (100, 200, 300, 400)]
    assert {(row["requested_model"], row["route"], row["streamed"]) for row in rows} == {
        ("gpt-realtime", "/v1/realtime", True)
    }
