"""Limits and doors: what is too much is refused with a clear error, one event, and nothing else."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.proxy.conftest import Line, Message, Scene, Wire


def code(answer: Message) -> str:
    return str(json.loads(answer.body)["error"]["code"])


async def test_a_body_that_announces_too_much_is_refused_at_once(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(), server={"max_request_bytes": 2_000})
    head = wire.head(
        "POST /v1/responses HTTP/1.1", "Host: proxy", "Expect: 100-continue", "Content-Length: 2001"
    )
    answer = await scene.ask(head)
    assert (answer.start, code(answer)) == (
        b"HTTP/1.1 413 Request Entity Too Large",
        "request_too_large",
    )
    row = await scene.row()
    assert (row["status"], row["end_reason"], row["http_status"]) == ("error", "refused", 413)
    assert scene.upstream.lines == []


async def test_a_body_that_turns_out_too_large_is_refused(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(), server={"max_request_bytes": 2_000})
    client = await scene.connect()
    head = wire.head("POST /v1/responses HTTP/1.1", "Host: proxy", "Transfer-Encoding: chunked")
    await client.send(head + wire.chunk(b"x" * 1_500), wire.chunk(b"x" * 1_500))
    answer = await client.message()
    assert answer.start.split()[1] == b"413"
    assert code(answer) == "request_too_large"
    assert (await scene.row())["end_reason"] == "refused"
    await scene.until(lambda: all(not request.complete for request in scene.upstream.requests))


async def test_a_body_of_the_largest_size_passes(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.answer(), server={"max_request_bytes": 2_000})
    assert (await scene.ask(wire.request(b"x" * 2_000))).start == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("size", [1_000, 1_000_000], ids=["small", "large"])
async def test_a_body_that_stops_arriving(scene: Scene, wire: type[Wire], size: int) -> None:
    pace = {"body_timeout_seconds": 0.2, "min_body_bytes_per_second": 1_000_000}
    await scene.begin(wire.answer(), server=pace)
    client = await scene.connect()
    head = wire.head("POST /v1/responses HTTP/1.1", "Host: proxy", f"Content-Length: {size}")
    await client.send(head + b"x" * (size // 2))
    answer = await client.message()
    assert (answer.start, code(answer)) == (b"HTTP/1.1 408 Request Timeout", "request_timeout")
    row = await scene.row()
    assert (row["end_reason"], row["error_code"]) == ("refused", "request_timeout")


async def test_a_malformed_chunk_of_a_request_ends_it_and_is_one_event(
    scene: Scene, wire: type[Wire]
) -> None:
    await scene.begin(wire.answer())
    client = await scene.connect()
    head = wire.head("POST /v1/responses HTTP/1.1", "Host: proxy", "Transfer-Encoding: chunked")
    await client.send(head + wire.chunk(b"x" * 1_500), b"zz\r\nnonsense\r\n" + wire.end, pause=0.05)
    assert not (await client.rest()).startswith(b"HTTP/1.1 2")
    assert (await scene.row())["status"] != "success"
    await scene.until(lambda: all(not request.complete for request in scene.upstream.requests))


async def test_more_requests_in_flight_than_allowed_are_refused_and_later_ones_pass(
    scene: Scene, wire: type[Wire]
) -> None:
    released = asyncio.Event()

    async def play(line: Line) -> None:
        while True:
            await line.message()
            await released.wait()
            await line.send(wire.answer(b"answered"))

    await scene.begin(play, server={"max_concurrent_requests": 2})
    running = [await scene.connect() for _ in range(2)]
    for client in running:
        await client.send(wire.request())
    await scene.until(lambda: len(scene.upstream.requests) == 2)
    refused = await scene.ask(wire.request())
    assert (refused.start.split()[1], code(refused)) == (b"503", "too_many_requests_in_flight")
    released.set()
    assert [(await client.message()).body for client in running] == [b"answered"] * 2
    assert (await scene.ask(wire.request())).body == b"answered"
    rows = await scene.rows(4)
    assert sorted(row["http_status"] for row in rows) == [200, 200, 200, 503]


async def test_a_slot_is_free_again_when_a_client_has_left(scene: Scene, wire: type[Wire]) -> None:
    async def play(line: Line) -> None:
        await line.message()
        await line.rest()

    def heard(count: int) -> bool:
        return len(scene.upstream.requests) == count

    await scene.begin(play, server={"max_concurrent_requests": 1})
    for number in range(1, 4):
        client = await scene.connect()
        await client.send(wire.request())
        await scene.until(partial(heard, number))
        await client.close()
        await scene.rows(number)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Authorization: Bearer scrape-secret", b"200"),
        ("Authorization: Bearer scrape-secreT", b"401"),
        ("Authorization: Bearer caf\u00e9", b"401"),
        ("Authorization: scrape-secret", b"401"),
        ("x-api-key: scrape-secret", b"401"),
        ("Accept: */*", b"401"),
    ],
)
async def test_metrics_behind_a_token(scene: Scene, wire: type[Wire], header: str, status: bytes) -> None:
    await scene.begin(wire.answer(), metrics={"token": "scrape-secret"})
    answer = await scene.ask(wire.request(b"", header, path="/metrics", method="GET"))
    assert answer.start.split()[1] == status
    if status == b"401":
        assert answer.values(b"WWW-Authenticate") == [b"Bearer"]
        assert b"codex_lb" not in answer.body


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_needs_no_token_and_counts_as_no_request(
    scene: Scene, wire: type[Wire], path: str
) -> None:
    await scene.begin(wire.answer(), metrics={"token": "scrape-secret"})
    assert (await scene.ask(wire.request(b"", path=path, method="GET"))).start == b"HTTP/1.1 200 OK"
    assert scene.proxy.rows() == []
