"""The upstream breaks off, stays silent or talks nonsense: the client sees that, and one event tells it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from proxy.http.wire import MAX_INTERIM

if TYPE_CHECKING:
    from tests.proxy.conftest import Line, Scene, Wire

DELTA = {"type": "response.output_text.delta", "delta": "Hello"}
USAGE = {"input_tokens": 50, "output_tokens": 9}
COMPLETED = {"type": "response.completed", "response": {"model": "gpt-5.4", "usage": USAGE}}


def breaking(*parts: bytes, how: str) -> object:
    """An upstream that hears a request, writes these bytes and ends the connection."""

    async def play(line: Line) -> None:
        await line.message()
        await line.send(*parts)
        if how == "reset":
            line.reset()

    return play


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("cut", ["between chunks", "inside a chunk", "inside a chunk's size"])
async def test_a_truncated_chunked_body_does_not_look_complete(
    scene: Scene, wire: type[Wire], cut: str, how: str
) -> None:
    event = wire.events(DELTA)
    rest = {"between chunks": b"", "inside a chunk": b"ff\r\ndata: half", "inside a chunk's size": b"f"}
    await scene.begin(breaking(wire.stream() + wire.chunk(event), rest[cut], how=how))
    answer = await scene.ask(wire.request())
    assert answer.start == b"HTTP/1.1 200 OK"
    assert answer.body.startswith(event), "what had arrived is passed on"
    assert not answer.complete
    row = await scene.row()
    assert (row["status"], row["end_reason"]) == ("error", "upstream_error")
    assert (row["http_status"], row["error_code"]) == (200, "upstream_broken")


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_body_shorter_than_its_content_length_does_not_look_complete(
    scene: Scene, wire: type[Wire], how: str
) -> None:
    head = wire.head("HTTP/1.1 200 OK", "Content-Type: application/json", "Content-Length: 100")
    await scene.begin(breaking(head + b'{"usage":', b" ", how=how))
    client = await scene.connect()
    await client.send(wire.request())
    received = await client.rest()
    assert len(received.partition(b"\r\n\r\n")[2]) < 100
    assert b"Content-Length: 100" in received or received == b""
    row = await scene.row()
    assert (row["status"], row["end_reason"]) == ("error", "upstream_error")


async def test_a_truncated_body_does_not_look_complete_to_an_http_1_0_client_either(
    scene: Scene, wire: type[Wire]
) -> None:
    await scene.begin(breaking(wire.stream() + wire.chunk(wire.events(DELTA)), how="close"))
    client = await scene.connect()
    await client.send(wire.request().replace(b"HTTP/1.1", b"HTTP/1.0"))
    with pytest.raises(ConnectionResetError):
        while await client.reader.read(1_000):
            pass


async def test_usage_that_was_seen_before_the_break_is_kept(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(breaking(wire.stream() + wire.chunk(wire.events(DELTA, COMPLETED)), how="close"))
    answer = await scene.ask(wire.request())
    assert not answer.complete
    row = await scene.row()
    assert (row["end_reason"], row["input_tokens"], row["output_tokens"]) == ("upstream_error", 50, 9)


async def test_a_body_that_ends_with_the_connection_is_complete(scene: Scene, wire: type[Wire]) -> None:
    head = wire.head("HTTP/1.0 200 OK", "Content-Type: application/json")
    document = json.dumps({"model": "gpt-5.4", "usage": USAGE}).encode()
    await scene.begin(breaking(head, document[:10], document[10:], how="close"))
    answer = await scene.ask(wire.request())
    assert (answer.complete, answer.body) == (True, document)
    row = await scene.row()
    assert (row["status"], row["end_reason"], row["output_tokens"]) == ("success", "done", 9)


async def test_a_body_that_should_end_with_the_connection_but_is_reset_does_not_look_complete(
    scene: Scene, wire: type[Wire]
) -> None:
    head = wire.head("HTTP/1.1 200 OK", "Content-Type: text/event-stream")
    await scene.begin(breaking(head, wire.events(DELTA), how="reset"))
    answer = await scene.ask(wire.request())
    assert not answer.complete
    assert (await scene.row())["end_reason"] == "upstream_error"


@pytest.mark.parametrize(
    "documents",
    [
        pytest.param((DELTA,), id="after a token"),
        pytest.param((), id="before the first token"),
    ],
)
async def test_a_stream_without_its_closing_event_ended_by_eof(
    scene: Scene, wire: type[Wire], documents: tuple[dict[str, str], ...]
) -> None:
    created = {"type": "response.created", "response": {"model": "gpt-5.4", "usage": None}}
    await scene.begin(wire.stream() + wire.chunk(wire.events(created, *documents)) + wire.end)
    assert (await scene.ask(wire.request())).complete
    assert (await scene.row())["end_reason"] == "eof"


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize(
    "bytes_sent",
    [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Type: text", b"220 smtp ready\r\n\r\n"],
    ids=["nothing", "half a status line", "half a head", "another protocol"],
)
async def test_no_answer_at_all_is_a_502(scene: Scene, wire: type[Wire], bytes_sent: bytes, how: str) -> None:
    await scene.begin(breaking(bytes_sent, how=how))
    answer = await scene.ask(wire.request())
    assert answer.start == b"HTTP/1.1 502 Bad Gateway"
    assert json.loads(answer.body)["error"]["code"] == "upstream_broken"
    row = await scene.row()
    assert (row["status"], row["http_status"], row["end_reason"]) == ("error", 502, "upstream_error")


@pytest.mark.parametrize(
    "framing",
    [
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: -5",),
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
    ],
    ids=["two lengths", "a negative length", "a length and chunks"],
)
async def test_an_ambiguous_answer_is_refused(
    scene: Scene, wire: type[Wire], framing: tuple[str, ...]
) -> None:
    await scene.begin(wire.head("HTTP/1.1 200 OK", *framing) + b"5\r\nhello\r\n0\r\n\r\n")
    answer = await scene.ask(wire.request())
    assert answer.start == b"HTTP/1.1 502 Bad Gateway"


async def test_a_switch_of_protocols_that_nobody_asked_for_is_refused(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(
        wire.head("HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: x") + b"x"
    )
    client = await scene.connect()
    await client.send(wire.request())
    assert (await client.head()).startswith(b"HTTP/1.1 502")
    assert (await scene.row())["error_code"] == "upstream_broken"


async def test_a_malformed_chunk_ends_the_answer(scene: Scene, wire: type[Wire]) -> None:
    parts = (wire.stream() + wire.chunk(wire.events(DELTA)), b"zz\r\nnonsense\r\n" + wire.end)
    await scene.begin(breaking(*parts, how="close"), server={"idle_timeout_seconds": 0.3})
    client = await scene.connect()
    client.patience = 1.5
    await client.send(wire.request())
    assert not (await client.message()).complete
    assert (await scene.row())["end_reason"] == "upstream_error"


@pytest.mark.parametrize(
    "cut", ["nowhere", "in the body", "in the chunks", "behind the body", "behind a 204"]
)
async def test_bytes_behind_an_answer_are_never_the_answer_to_the_next_request(
    scene: Scene, wire: type[Wire], cut: str
) -> None:
    first, unasked, second = (
        wire.answer(b'{"id": "%b"}' % name) for name in (b"first", b"nobody's", b"second")
    )
    chunks = wire.stream() + wire.chunk(b'{"id": "first"}')
    parts = {
        "nowhere": (first + unasked,),
        "in the body": (first[:-5], first[-5:] + unasked),
        "in the chunks": (chunks, wire.end + unasked),
        "behind the body": (first, unasked),
        "behind a 204": (wire.head("HTTP/1.1 204 No Content"), unasked),
    }[cut]

    async def play(line: Line) -> None:
        await line.message()
        if len(scene.upstream.lines) == 1:
            await line.send(*parts, pause=0.1)
            await line.rest()
        else:
            await line.send(second)

    await scene.begin(play)
    client = await scene.connect()
    await client.send(wire.request())
    assert (await client.message()).body == (b"" if cut == "behind a 204" else b'{"id": "first"}')
    async with asyncio.timeout(10):  # unused ones are closed after 15 seconds
        while not scene.upstream.lines[0].reader.at_eof():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await client.send(wire.request())
    assert (await client.message()).body == b'{"id": "second"}'


async def test_what_is_no_status_is_no_answer_to_wait_for(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(wire.head("HTTP/1.1 000 Nothing", "Content-Length: 0"))
    assert (await scene.ask(wire.request())).start == b"HTTP/1.1 502 Bad Gateway"


@pytest.mark.parametrize("begun", [False, True], ids=["before the head", "in mid-stream"])
async def test_silence_beyond_the_limit_is_a_timeout(scene: Scene, wire: type[Wire], begun: bool) -> None:
    async def play(line: Line) -> None:
        await line.message()
        if begun:
            await line.send(wire.stream() + wire.chunk(wire.events(DELTA)))
        await line.rest()

    await scene.begin(play, server={"idle_timeout_seconds": 0.2})
    answer = await scene.ask(wire.request())
    row = await scene.row()
    assert (row["status"], row["end_reason"], row["error_code"]) == ("error", "timeout", "upstream_timeout")
    if begun:
        assert not answer.complete
        assert row["http_status"] == 200
    else:
        assert answer.start == b"HTTP/1.1 504 Gateway Timeout"
        assert json.loads(answer.body)["error"]["code"] == "upstream_timeout"


async def test_a_slow_stream_is_no_silence(scene: Scene, wire: type[Wire]) -> None:
    async def play(line: Line) -> None:
        await line.message()
        events = [wire.chunk(wire.events(DELTA))] * 10
        await line.send(wire.stream(), *events, wire.chunk(wire.events(COMPLETED)) + wire.end, pause=0.1)

    await scene.begin(play, server={"idle_timeout_seconds": 0.6})
    assert (await scene.ask(wire.request())).complete
    assert (await scene.row())["end_reason"] == "done"


async def test_an_error_answer_tells_nothing_about_the_request(scene: Scene, wire: type[Wire]) -> None:
    await scene.begin(breaking(how="close"))
    secret = b'{"model":"gpt-5.4","input":"my diagnosis"}'
    answer = await scene.ask(wire.request(secret, "Authorization: Bearer sk-secret-0123456789"))
    assert b"diagnosis" not in answer.body
    assert b"sk-secret" not in answer.body


async def test_interim_answers_without_end_are_no_answer(scene: Scene, wire: type[Wire]) -> None:
    """While they come nobody else would be served."""
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    some = hint * MAX_INTERIM + wire.answer(b"{}")

    async def play(line: Line) -> None:
        await line.message()
        await line.send(some)
        await line.message()
        with suppress(ConnectionError):
            while True:
                await line.send(hint * 100)

    await scene.begin(play)
    client = await scene.connect()
    for start in (b"HTTP/1.1 200 OK", b"HTTP/1.1 502 Bad Gateway"):
        await client.send(wire.request())
        assert (await client.message()).start == start
    assert (await scene.rows(2))[-1]["error_code"] == "upstream_broken"
