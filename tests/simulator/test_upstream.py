"""The provider over real sockets: routing, the log, the faults of the script, and its end."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import aiohttp
import pytest
from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, AsyncOpenAI
from yarl import URL

from ledger.values import NO_USAGE, Usage
from simulator.errors import OutputError
from simulator.provider.coding import decode
from simulator.provider.limits import Credits, RateLimits, Window
from simulator.provider.script import (
    Answer,
    Asked,
    Cut,
    ErrorInside,
    Garbage,
    Hang,
    Pace,
    Refuse,
    Script,
    Wire,
    script,
)
from simulator.provider.upstream import Upstream, serve

CHAT: dict[str, Any] = {"model": "gpt-5.5", "messages": []}
STREAM: dict[str, Any] = {"model": "gpt-5.5", "input": "x", "stream": True}
Client = Callable[[Upstream], AsyncOpenAI]


async def test_answers_are_taken_in_turn_and_from_the_front_again(http: aiohttp.ClientSession) -> None:
    answers = script(Answer(usage=Usage(1, 1)), Answer(usage=Usage(2, 2)))
    async with serve(answers) as upstream:
        for _ in range(3):
            async with http.post(upstream.base_url + "/chat/completions", json=CHAT) as answer:
                assert answer.status == 200
        assert [(e.number, e.usage.input_tokens) for e in upstream.log] == [(0, 1), (1, 2), (2, 1)]


async def test_the_last_answer_may_stay(http: aiohttp.ClientSession) -> None:
    answers = Script((Answer(fault=Refuse()), Answer()), then="last")
    async with serve(answers) as upstream:
        for _ in range(3):
            async with http.post(upstream.base_url + "/chat/completions", json=CHAT):
                pass
        assert [e.status for e in upstream.log] == [429, 200, 200]


async def test_an_answer_may_depend_on_who_asks(http: aiohttp.ClientSession) -> None:
    class ByKey:
        def answer(self, asked: Asked) -> Answer:
            return Answer(fault=Refuse(401)) if asked.authorization == "...dead" else Answer()

    async with serve(ByKey()) as upstream:
        for key in ("sk-0123456789-good", "sk-0123456789-dead"):
            headers = {"Authorization": f"Bearer {key}"}
            async with http.post(upstream.base_url + "/chat/completions", json=CHAT, headers=headers):
                pass
        assert [(e.authorization, e.status) for e in upstream.log] == [("...good", 200), ("...dead", 401)]


async def test_the_log_keeps_what_went_both_ways(http: aiohttp.ClientSession) -> None:
    answer = Answer(headers=(("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")))
    body = json.dumps(CHAT).encode()
    async with serve(script(answer)) as upstream:
        async with http.post(
            URL(upstream.base_url + "/chat/completions?x=%2F", encoded=True),
            data=body,
            headers={
                "Authorization": "Bearer sk-secret-of-a-caller-9876",
                "Content-Type": "application/json",
            },
        ) as got:
            received = await got.read()
            cookies = got.headers.getall("Set-Cookie")
        entry = upstream.log[0]
    assert entry.received == body
    assert entry.sent == received
    assert entry.path == "/v1/chat/completions?x=%2F"
    assert cookies == [v for n, v in entry.headers if n == "Set-Cookie"] == ["a=1", "b=2"]
    assert ("Authorization", "...9876") in entry.request_headers
    assert "secret" not in repr(entry)
    assert (entry.api, entry.model, entry.status, entry.complete) == (
        "chat_completions",
        "gpt-5.5",
        200,
        True,
    )


async def test_bytes_are_forgotten_where_nobody_wants_them(http: aiohttp.ClientSession) -> None:
    async with serve(keep_bytes=False, keep_last=2) as upstream:
        for _ in range(3):
            async with http.post(upstream.base_url + "/chat/completions", json=CHAT) as answer:
                await answer.read()
        assert [e.number for e in upstream.log] == [1, 2]
        assert {(e.sent, e.received, e.headers, e.request_headers) for e in upstream.log} == {
            (b"", b"", (), ())
        }


async def test_an_http_error_has_the_providers_body(client: Client) -> None:
    refusal = Refuse(429, "rate_limit_exceeded", "tokens", "Try again in 2 s.")
    async with serve(script(Answer(fault=refusal, headers=(("Retry-After", "2"),)))) as upstream:
        with pytest.raises(APIStatusError) as caught:
            await client(upstream).responses.create(model="gpt-5.5", input="x")
    assert caught.value.status_code == 429
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "tokens")
    assert caught.value.response.headers["retry-after"] == "2"


@pytest.mark.parametrize("path", ["/responses", "/chat/completions", "/messages"])
async def test_an_http_error_may_carry_usage(http: aiohttp.ClientSession, path: str) -> None:
    answer = Answer(usage=Usage(50, 7, 10, 2), fault=Refuse(500, with_usage=True))
    async with serve(script(answer)) as upstream:
        async with http.post(upstream.base_url + path, json=CHAT) as got:
            assert got.status == 500
            assert "usage" in await got.json()
        assert upstream.log[0].usage.input_tokens == 50


async def test_a_stream_is_cut(client: Client) -> None:
    async with serve(script(Answer(fault=Cut(after_events=3)))) as upstream:
        stream = await client(upstream).responses.create(**STREAM)
        seen = []
        with pytest.raises(APIConnectionError):
            async for event in stream:
                seen.append(event.type)
        entry = upstream.log[0]
    assert seen == ["response.created", "response.in_progress", "response.output_item.added"]
    assert (entry.complete, entry.usage, entry.status) == (False, NO_USAGE, 200)


async def test_a_cut_can_come_after_all_is_told(client: Client) -> None:
    async with serve(script(Answer(usage=Usage(9, 9), fault=Cut(after_events=10_000)))) as upstream:
        stream = await client(upstream).responses.create(**STREAM)
        with pytest.raises(APIConnectionError):
            assert [e.type async for e in stream][-1] == "response.completed"
        assert (upstream.log[0].complete, upstream.log[0].usage) == (False, Usage(9, 9))


async def test_a_cut_can_split_an_event(http: aiohttp.ClientSession) -> None:
    async with serve(script(Answer(fault=Cut(after_events=0, extra_bytes=11)))) as upstream:
        async with http.post(upstream.base_url + "/responses", json=STREAM) as got:
            with pytest.raises(aiohttp.ClientPayloadError):
                await got.read()
        assert upstream.log[0].sent == b"event: resp"


async def test_a_whole_answer_is_cut_in_its_middle(http: aiohttp.ClientSession) -> None:
    async with serve(script(Answer(fault=Cut()))) as upstream:
        async with http.post(upstream.base_url + "/chat/completions", json=CHAT) as got:
            with pytest.raises(aiohttp.ClientPayloadError):
                await got.read()
        entry = upstream.log[0]
    assert len(entry.sent) == int(dict(entry.headers)["Content-Length"]) // 2
    assert (entry.complete, entry.usage) == (False, NO_USAGE)


async def test_a_connection_closes_before_any_byte(http: aiohttp.ClientSession) -> None:
    async with serve(script(Answer(fault=Cut(after_events=None)))) as upstream:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await http.post(upstream.base_url + "/chat/completions", json=CHAT)
        assert (upstream.log[0].status, upstream.log[0].number) == (0, 0)


async def test_a_silent_upstream_lasts_until_the_client_leaves(client: Client) -> None:
    async with serve(script(Answer(fault=Hang()))) as upstream:
        with pytest.raises(APITimeoutError):
            await client(upstream).with_options(timeout=0.1).responses.create(**STREAM)
        for _ in range(100):
            if upstream.log:
                break
            await asyncio.sleep(0.01)
        assert (upstream.log[0].status, upstream.log[0].complete) == (0, False)


async def test_a_hanging_stream_does_not_outlast_the_upstream(http: aiohttp.ClientSession) -> None:
    async with serve(script(Answer(fault=Hang(after_events=1)))) as upstream:
        got = await http.post(upstream.base_url + "/responses", json=STREAM)
        assert (await got.content.readany()).startswith(b"event: response.created")
        before = time.monotonic()
    assert time.monotonic() - before < 10
    assert (upstream.log[0].status, upstream.log[0].complete) == (200, False)
    got.close()


async def test_a_client_that_leaves_in_mid_stream_is_remembered(http: aiohttp.ClientSession) -> None:
    async with serve(script(Answer(events=100, pace=Pace(between=0.01)))) as upstream:
        got = await http.post(upstream.base_url + "/responses", json=STREAM)
        await got.content.readany()
        got.close()
        for _ in range(100):
            if upstream.log:
                break
            await asyncio.sleep(0.01)
        assert (upstream.log[0].complete, upstream.log[0].usage) == (False, NO_USAGE)


async def test_an_error_inside_a_stream(client: Client) -> None:
    async with serve(script(Answer(fault=ErrorInside(1, "server_error", "Oh no.")))) as upstream:
        with pytest.raises(APIError, match="Oh no"):
            async for _ in await client(upstream).chat.completions.create(**CHAT, stream=True):
                pass
        assert (upstream.log[0].status, upstream.log[0].complete) == (200, True)
        assert b"[DONE]" not in upstream.log[0].sent


async def test_an_error_inside_a_whole_answer(http: aiohttp.ClientSession) -> None:
    async with serve(script(Answer(fault=ErrorInside(message="Oh no.")))) as upstream:
        async with http.post(upstream.base_url + "/chat/completions", json=CHAT) as got:
            assert (got.status, (await got.json())["error"]["message"]) == (200, "Oh no.")
        assert upstream.log[0].usage == NO_USAGE


@pytest.mark.parametrize("body", [CHAT, {**CHAT, "stream": True}])
async def test_garbage(http: aiohttp.ClientSession, body: dict[str, Any]) -> None:
    async with serve(script(Answer(fault=Garbage(b"\xff{")))) as upstream:
        async with http.post(upstream.base_url + "/chat/completions", json=body) as got:
            assert (got.status, await got.read()) == (200, b"\xff{")
        assert upstream.log[0].usage == NO_USAGE


async def test_pauses_come_before_the_first_event_and_between_events(http: aiohttp.ClientSession) -> None:
    never, slow = Pace(first=3_600), Pace(first=0.2, between=0.05)
    answers = Answer(pace=never), Answer(events=3, reports_usage=False, pace=slow)
    async with serve(script(*answers)) as upstream:
        ask = partial(http.post, upstream.base_url + "/chat/completions", json={**CHAT, "stream": True})
        (await ask()).close()  # the headers do not wait for the first event
        start = time.monotonic()
        got = await ask()
        await got.content.readany()
        first = time.monotonic() - start
        await got.read()
        rest = time.monotonic() - start
    assert first >= 0.2 * 0.9
    assert rest >= (0.2 + 5 * 0.05) * 0.9  # role, 3 deltas, end and [DONE] are 6 events


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("stream", [False, True])
async def test_content_codings(http: aiohttp.ClientSession, coding: Any, stream: bool) -> None:
    plain = script(Answer())
    coded = script(Answer(wire=Wire(coding=coding)))
    body = {**STREAM, "stream": stream}
    bodies = []
    for answers in (plain, coded):
        async with serve(answers) as upstream, http.post(upstream.base_url + "/responses", json=body) as got:
            bodies.append((got.headers.get("Content-Encoding"), await got.read()))
    assert [name for name, _ in bodies] == [None, coding]
    assert decode(coding, bodies[1][1]) == bodies[0][1]
    assert bodies[1][1] != bodies[0][1]


async def test_every_event_of_a_coded_stream_can_be_read_at_once(http: aiohttp.ClientSession) -> None:
    answer = Answer(wire=Wire(coding="gzip"), fault=Hang(after_events=1))
    async with serve(script(answer)) as upstream:
        got = await http.post(upstream.base_url + "/responses", json=STREAM)
        text = zlib.decompressobj(31).decompress(await got.content.readany())
        assert text.startswith(b"event: response.created")
        assert text.endswith(b"\n\n")
        got.close()


@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
async def test_line_ends_and_a_missing_last_one(http: aiohttp.ClientSession, line_end: Any) -> None:
    bodies = []
    for wire in (Wire(), Wire(line_end=line_end, split=7, final_blank_line=False)):
        answers = script(Answer(wire=wire))
        async with (
            serve(answers) as upstream,
            http.post(upstream.base_url + "/responses", json=STREAM) as got,
        ):
            bodies.append(await got.read())
    assert bodies[1] == bodies[0].replace(b"\n", line_end.encode()).removesuffix(line_end.encode() * 2)


async def test_messages_stream_as_anthropics_do(http: aiohttp.ClientSession) -> None:
    body = {"model": "claude-x", "max_tokens": 9, "messages": [], "stream": True}
    answers = script(Answer(usage=Usage(1_200, 345, 1_000), events=2))
    async with serve(answers) as upstream:
        headers = {"x-api-key": "sk-ant-simulated-5678"}
        async with http.post(upstream.base_url + "/messages", json=body, headers=headers) as got:
            events = [e.split(b"\n") for e in (await got.read()).split(b"\n\n")[:-1]]
        entry = upstream.log[0]
    documents = [json.loads(data.removeprefix(b"data: ")) for _, data in events]
    assert [name.removeprefix(b"event: ").decode() for name, _ in events] == [d["type"] for d in documents]
    assert documents[0]["message"]["usage"]["input_tokens"] == 200
    assert documents[0]["message"]["usage"]["cache_read_input_tokens"] == 1_000
    cached = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 1_000}
    assert documents[-2]["usage"] == {"input_tokens": 200, **cached, "output_tokens": 345}
    assert (entry.usage, entry.authorization, entry.streamed) == (Usage(1_200, 345, 1_000), "...5678", True)


async def test_quota_is_told_in_headers_and_in_an_event(http: aiohttp.ClientSession) -> None:
    limits = RateLimits(
        Window(12.5, 300, 1_800_000_000), Window(40, 10_080, 1_800_500_000), Credits(True, False, 3.5)
    )
    answers = script(Answer(limits=limits, limits_event=True))
    async with serve(answers) as upstream, http.post(upstream.base_url + "/responses", json=STREAM) as got:
        headers, body = got.headers, await got.read()
    assert headers["x-codex-primary-used-percent"] == "12.5"
    assert headers["x-codex-primary-window-minutes"] == "300"
    assert headers["x-codex-secondary-reset-at"] == "1800500000"
    assert headers["x-codex-credits-balance"] == "3.5"
    name, data = body.split(b"\n\n")[0].split(b"\n")
    told = json.loads(data.removeprefix(b"data: "))
    assert name == b"event: codex.rate_limits"
    assert told["rate_limits"]["secondary"] == {
        "used_percent": 40,
        "window_minutes": 10_080,
        "reset_at": 1_800_500_000,
    }


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/v1/chat/completions", b"{", 400, "parse the JSON"),
        ("POST", "/v1/chat/completions", b"\xff", 400, "parse the JSON"),
        ("POST", "/v1/chat/completions", b'{"messages": []}', 400, "model parameter"),
        ("POST", "/v1/chat/completions", b"[]", 400, "model parameter"),
        ("GET", "/v1/chat/completions", b"", 405, "Method GET"),
        ("GET", "/v1/responses/resp_nobody", b"", 404, "Invalid URL"),
        ("GET", "/v1/nothing", b"", 404, "Invalid URL (GET /v1/nothing)"),
    ],
)
async def test_what_it_does_not_know_it_refuses(
    http: aiohttp.ClientSession, method: str, path: str, body: bytes, status: int, message: str
) -> None:
    async with serve() as upstream:
        async with http.request(method, upstream.origin + path, data=body) as got:
            assert got.status == status
            assert message in (await got.json())["error"]["message"]
        assert [(e.number, e.status, e.usage) for e in upstream.log] == [(None, status, NO_USAGE)]


async def test_a_compressed_request_is_understood_and_remembered_as_it_came(
    http: aiohttp.ClientSession,
) -> None:
    body = zlib.compress(json.dumps(CHAT).encode(), wbits=31)
    async with serve() as upstream:
        async with http.post(
            upstream.base_url + "/chat/completions", data=body, headers={"Content-Encoding": "gzip"}
        ) as got:
            assert got.status == 200
        assert upstream.log[0].received == body


async def test_a_response_that_was_not_to_be_stored_is_gone(http: aiohttp.ClientSession) -> None:
    async with serve() as upstream:
        body = {**STREAM, "stream": False, "store": False}
        async with http.post(upstream.base_url + "/responses", json=body) as got:
            name = (await got.json())["id"]
        async with http.get(f"{upstream.base_url}/responses/{name}") as got:
            assert got.status == 404


async def test_two_cannot_listen_on_one_port() -> None:
    async with serve() as upstream:
        port = int(upstream.origin.rsplit(":", 1)[1])
        with pytest.raises(OutputError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with serve(port=port):
                pass


async def test_the_same_script_gives_the_same_bytes(http: aiohttp.ClientSession) -> None:
    bodies = []
    for _ in range(2):
        async with serve() as upstream, http.post(upstream.base_url + "/responses", json=STREAM) as got:
            bodies.append(await got.read())
    assert bodies[0] == bodies[1]


async def test_a_websocket_is_refused_so_that_clients_fall_back(http: aiohttp.ClientSession) -> None:
    async with serve() as upstream:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await http.ws_connect(upstream.base_url + "/responses")
        assert caught.value.status == 405
        async with http.post(upstream.base_url + "/responses", json=STREAM) as got:
            assert (got.status, (await got.read())[:6]) == (200, b"event:")
        assert [(e.method, e.status) for e in upstream.log] == [("GET", 405), ("POST", 200)]
