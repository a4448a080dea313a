"""Answers that are made later: background responses and batches, counted once by what is read of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

if TYPE_CHECKING:
    from tests.proxy.conftest import Proxy, StartProxy

USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 10},
    "total_tokens": 130,
}


DRAWN = {"image_gen": {"input_tokens": 7, "output_tokens": 196}, "web_search": {"num_requests": 0}}


def response(status: str, *, background: bool = True, draws: bool = False) -> dict[str, Any]:
    usage = USAGE if status == "completed" else None
    if usage and draws:
        tools = [{"type": "image_generation", "model": "gpt-image-1"}]
        return {**response(status, background=background), "tools": tools, "tool_usage": DRAWN}
    return {
        "id": "resp_b",
        "object": "response",
        "status": status,
        "background": background,
        "model": "gpt-5.5",
        "output": [],
        "usage": usage,
    }


def chat_line(number: int) -> dict[str, Any]:
    body = {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "model": "gpt-5.4-mini",
        "choices": [],
        "usage": {"prompt_tokens": number, "completion_tokens": 2, "total_tokens": number + 2},
    }
    answer = {"status_code": 200, "request_id": f"req_{number}", "body": body}
    return {"id": f"batch_req_{number}", "custom_id": str(number), "response": answer, "error": None}


LINES = [
    *(chat_line(number) for number in range(1, 6)),
    {"id": "batch_req_6", "custom_id": "6", "response": None, "error": {"code": "batch_expired"}},
]
RESULTS = [
    {
        "custom_id": str(number),
        "result": {
            "type": "succeeded",
            "message": {
                "id": f"msg_{number}",
                "type": "message",
                "model": "claude-opus-4-6",
                "content": [],
                "usage": {"input_tokens": number, "cache_read_input_tokens": 7, "output_tokens": 3},
            },
        },
    }
    for number in (1, 2)
]


def gemini(number: int, **changed: Any) -> dict[str, Any]:
    counts = {"promptTokenCount": number, "candidatesTokenCount": 4, "totalTokenCount": number + 9}
    answer = {"candidates": [], "usageMetadata": {**counts, "thoughtsTokenCount": 5}}
    return {**answer, "modelVersion": "gemini-2.5-flash", **changed}


GEMINI_LINES = [
    {"key": "request-1", "response": gemini(1, responseId="AbC1")},
    {"key": "request-2", "response": gemini(2)},
    {"key": "request-3", "response": gemini(2)},
    {"key": "request-4", "error": {"code": 3, "message": "no such model"}},
]


def gemini_batch(place: str) -> bytes:
    """Google writes its documents over several lines."""
    answers = [
        {"response": gemini(8), "metadata": {"key": "a"}},
        {"response": gemini(8)},
        {"error": {"code": 8}},
    ]
    output = {"inlinedResponses": {"inlinedResponses": answers}}
    metadata = {"state": "BATCH_STATE_SUCCEEDED", "batchStats": {"requestCount": "3"}}
    held = {"metadata": {**metadata, "output": output}, "response": output}
    kept = (
        held
        if place == "both"
        else {"metadata": held["metadata"]}
        if place == "metadata"
        else {**held, "metadata": metadata}
    )
    return json.dumps({"name": "batches/tti3", "done": True, **kept}, indent=2).encode()


def written(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


@asynccontextmanager
async def provider(*, polls: int = 2, background: bool = True, draws: bool = False) -> AsyncIterator[str]:
    """A response that is done after some polls; an output of a batch."""
    asked = 0

    async def create(request: web.Request) -> web.Response:
        return web.json_response(response("queued", background=background))

    async def poll(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        status = "completed" if asked > polls else "in_progress"
        answer = response(status, background=background, draws=draws)
        if request.query.get("stream") != "true":
            return web.json_response(answer)
        event = json.dumps({"type": f"response.{answer['status']}", "response": answer})
        return web.Response(body=f"data: {event}\n\n".encode(), content_type="text/event-stream")

    async def output(request: web.Request) -> web.Response:
        lines = RESULTS if request.path.endswith("results") else LINES
        return web.Response(body=written(lines), content_type="application/octet-stream")

    async def gemini_output(request: web.Request) -> web.Response:
        return web.Response(body=written(GEMINI_LINES), content_type="application/octet-stream")

    async def gemini_batches(request: web.Request) -> web.Response:
        return web.Response(body=gemini_batch(request.match_info["place"]), content_type="application/json")

    application = web.Application()
    application.router.add_post("/v1/responses", create)
    application.router.add_post("/v1/responses/resp_b/cancel", poll)
    application.router.add_get("/v1/responses/resp_b", poll)
    application.router.add_get("/v1/files/file-1/content", output)
    application.router.add_get("/v1/messages/batches/b/results", output)
    application.router.add_get("/v1/download/v1beta/files/batch-tti3:download", gemini_output)
    application.router.add_get("/v1/v1beta/batches/{place}", gemini_batches)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def ask(proxy: Proxy, method: str, path: str, times: int = 1) -> None:
    async with aiohttp.ClientSession() as session:
        for _ in range(times):
            body = {"model": "gpt-5.5", "background": True} if method == "POST" else None
            async with session.request(method, proxy.base_url + path, json=body) as answer:
                assert answer.status == 200
                await answer.read()


def counted(proxy: Proxy) -> list[tuple[Any, ...]]:
    return [(row["model"], row["input_tokens"]) for row in proxy.rows() if row["input_tokens"] is not None]


def tokens(proxy: Proxy, kind: str = "input") -> float:
    names = (f'codex_lb_proxy_tokens_total{{kind="{kind}"', "")
    return sum(value for name, value in proxy.samples().items() if name.startswith(names[0]))


@pytest.mark.parametrize("query", ["", "?stream=true&starting_after=3"])
async def test_a_background_response_is_counted_once(start_proxy: StartProxy, query: str) -> None:
    async with provider() as origin:
        proxy = await start_proxy(origin)
        await ask(proxy, "POST", "/responses")
        await ask(proxy, "GET", f"/responses/resp_b{query}", times=5)
        assert counted(proxy) == [("gpt-5.5", 100)]
        assert tokens(proxy) == 100
        assert len(proxy.rows()) == 6
        (row,) = [row for row in proxy.rows() if row["input_tokens"]]
        assert (row["response_id"], row["request_kind"]) == ("resp_b", "normal")
        assert not [v for k, v in proxy.samples().items() if k.startswith("codex_lb_proxy_unmetered") and v]


@pytest.mark.parametrize("background", [True, False])
async def test_what_a_background_response_draws_is_counted_once(
    start_proxy: StartProxy, background: bool
) -> None:
    async with provider(polls=1, draws=True, background=background) as origin:
        one, other = await start_proxy(origin), await start_proxy(origin)
        for proxy in (one, one, other):
            await ask(proxy, "GET", "/responses/resp_b")
        expected = [("gpt-image-1", 7), ("gpt-5.5", 100)] if background else []
        assert counted(one) == counted(other) == expected


async def test_the_answer_to_a_cancellation_shows_the_counts_too(start_proxy: StartProxy) -> None:
    async with provider(polls=0) as origin:
        proxy = await start_proxy(origin)
        await ask(proxy, "POST", "/responses")
        await ask(proxy, "POST", "/responses/resp_b/cancel")
        await ask(proxy, "GET", "/responses/resp_b", times=2)
        assert counted(proxy) == [("gpt-5.5", 100)]


async def test_what_another_proxy_stored_is_not_stored_again(start_proxy: StartProxy) -> None:
    """Two processes share a ledger: the response is asked for at one, and read at both."""
    async with provider(polls=0) as origin:
        one, other = await start_proxy(origin), await start_proxy(origin)
        await ask(one, "GET", "/responses/resp_b")
        assert counted(one) == [("gpt-5.5", 100)]
        await ask(other, "GET", "/responses/resp_b", times=2)
        assert counted(other) == [("gpt-5.5", 100)]


async def test_a_stored_answer_that_nobody_waited_for_here_is_not_counted(start_proxy: StartProxy) -> None:
    async with provider(polls=0, background=False) as origin:
        proxy = await start_proxy(origin)
        await ask(proxy, "GET", "/responses/resp_b", times=2)
        assert counted(proxy) == []


async def test_each_line_of_a_batch_is_counted_once(start_proxy: StartProxy) -> None:
    async with provider() as origin:
        proxy = await start_proxy(origin)
        await ask(proxy, "GET", "/files/file-1/content", times=3)
        assert counted(proxy) == [("gpt-5.4-mini", number) for number in range(1, 6)]
        assert tokens(proxy) == 15
        rows = proxy.rows()
        lines = [row for row in rows if row["input_tokens"]]
        assert {(row["service_tier"], row["api"], row["latency_ms"]) for row in lines} == {
            ("batch", "chat_completions", None)
        }
        assert len(rows) == 5 + 3
        sent = {k: v for k, v in proxy.samples().items() if k.startswith("http_requests_total")}
        assert sum(sent.values()) == 3


async def test_the_results_of_a_batch_of_messages(start_proxy: StartProxy) -> None:
    async with provider() as origin:
        proxy = await start_proxy(origin)
        await ask(proxy, "GET", "/messages/batches/b/results", times=2)
        assert counted(proxy) == [("claude-opus-4-6", 8), ("claude-opus-4-6", 9)]
        assert {row["cached_input_tokens"] for row in proxy.rows() if row["input_tokens"]} == {7}


async def test_the_output_of_a_batch_of_gemini(start_proxy: StartProxy) -> None:
    """Each answer once, also one without an id of its own."""
    async with provider() as origin:
        proxy = await start_proxy(origin)
        await ask(proxy, "GET", "/download/v1beta/files/batch-tti3:download?alt=media", times=2)
        assert counted(proxy) == [("gemini-2.5-flash", 1), ("gemini-2.5-flash", 2), ("gemini-2.5-flash", 2)]
        said = {(row["output_tokens"], row["service_tier"]) for row in proxy.rows() if row["input_tokens"]}
        assert said == {(9, "batch")}


@pytest.mark.parametrize("place", ["both", "response", "metadata"])
async def test_the_answers_inside_a_batch_of_gemini(start_proxy: StartProxy, place: str) -> None:
    async with provider() as origin:
        proxy = await start_proxy(origin)
        await ask(proxy, "GET", f"/v1beta/batches/{place}", times=3)
        assert counted(proxy) == [("gemini-2.5-flash", 8), ("gemini-2.5-flash", 8)]
