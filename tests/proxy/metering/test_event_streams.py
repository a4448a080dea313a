"""Event streams in every shape through real sockets: the client's bytes stay, the usage is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.proxy.conftest import Line, Scene, Wire

USAGE = {"input_tokens": 1200, "output_tokens": 340, "input_tokens_details": {"cached_tokens": 200}}
DELTA = {"type": "response.output_text.delta", "delta": "na\u00efve \U0001f600"}
COMPLETED = {"type": "response.completed", "response": {"model": "gpt-5.4-\u00e9", "usage": USAGE}}


def event(document: Mapping[str, object], pattern: str = "event: {type}\ndata: {json}\n\n") -> bytes:
    text = json.dumps(document, ensure_ascii=False)
    return pattern.replace("{type}", str(document["type"])).replace("{json}", text).encode()


STREAM = event(DELTA) * 3 + event(COMPLETED)


async def check_metered(scene: Scene) -> None:
    row = await scene.row()
    assert (row["status"], row["end_reason"], row["model"]) == ("success", "done", "gpt-5.4-\u00e9")
    counts = (row["input_tokens"], row["output_tokens"], row["cached_input_tokens"])
    assert counts == (1200, 340, 200)
    assert row["latency_first_token_ms"] is not None


def splits() -> list[int]:
    """Offsets at which a cut hurts: in the last event, at its ends, and inside of characters."""
    last = STREAM.rindex(b"event:")
    multibyte = [i for i, byte in enumerate(STREAM) if byte >= 0x80][:4]
    usage = STREAM.index(b'"usage"', last)
    return [*multibyte, last - 1, last, last + 7, usage + 3, len(STREAM) - 2, len(STREAM) - 1]


@pytest.mark.parametrize("offset", splits())
async def test_a_cut_at_an_offset(scene: Scene, wire: type[Wire], offset: int) -> None:
    parts = (wire.chunk(STREAM[:offset]), wire.chunk(STREAM[offset:]) + wire.end)

    async def play(line: Line) -> None:
        await line.message()
        await line.send(wire.stream(), *parts, pause=0.02)

    await scene.begin(play)
    answer = await scene.ask(wire.request())
    assert (answer.body, answer.complete) == (STREAM, True)
    await check_metered(scene)


@pytest.mark.parametrize(
    "pattern",
    [
        "event: {type}\ndata: {json}\n\n",
        "event: {type}\r\ndata: {json}\r\n\r\n",
        "event: {type}\rdata: {json}\r\r",
        "event:{type}\ndata:{json}\n\n",
        "data: {json}\nevent: {type}\nid: 7\nretry: 3000\n\n",
        ": keep-alive\n\nevent: {type}\ndata: {json}\n\n: ping\n\n",
        "event: {type}\n: comment inside\ndata: {json}\n\n\n\n",
        "unknown: field\ndata\ndata: {json}\nnonsense\n\n",
    ],
    ids=["LF", "CRLF", "CR", "no spaces", "id and retry", "comments", "comment inside", "unknown fields"],
)
async def test_a_dialect(scene: Scene, wire: type[Wire], pattern: str) -> None:
    body = event(DELTA, pattern) * 3 + event(COMPLETED, pattern)
    await scene.begin(wire.stream() + wire.chunk(body) + wire.end)
    answer = await scene.ask(wire.request())
    assert (answer.body, answer.complete) == (body, True)
    await check_metered(scene)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
async def test_one_document_over_several_data_lines(scene: Scene, wire: type[Wire], line_end: str) -> None:
    lines = json.dumps(COMPLETED, indent=1, ensure_ascii=False).split("\n")
    last = "".join(f"data: {line}{line_end}" for line in lines) + line_end
    body = event(DELTA).replace(b"\n", line_end.encode()) + last.encode()
    await scene.begin(wire.stream() + wire.chunk(body) + wire.end)
    assert (await scene.ask(wire.request())).body == body
    await check_metered(scene)


@pytest.mark.parametrize("missing", [1, 2])
async def test_no_newline_behind_the_last_event(scene: Scene, wire: type[Wire], missing: int) -> None:
    body = STREAM[:-missing]
    await scene.begin(wire.stream() + wire.chunk(body) + wire.end)
    assert (await scene.ask(wire.request())).body == body
    await check_metered(scene)


async def test_every_byte_in_a_chunk_of_its_own(scene: Scene, wire: type[Wire]) -> None:
    async def play(line: Line) -> None:
        await line.message()
        await line.send(wire.stream(), *(wire.chunk(bytes([byte])) for byte in STREAM), wire.end, pause=0)

    await scene.begin(play)
    answer = await scene.ask(wire.request())
    assert (answer.body, answer.complete) == (STREAM, True)
    await check_metered(scene)


@pytest.mark.parametrize("place", ["in the middle", "as the last"])
async def test_an_event_of_five_megabytes(scene: Scene, wire: type[Wire], place: str) -> None:
    huge = {"type": "response.output_text.done", "text": "x" * 5_000_000}
    output = {**COMPLETED, "response": {"output": huge, **COMPLETED["response"]}}  # type: ignore[dict-item]
    body = event(DELTA) + (event(huge) + event(COMPLETED) if place == "in the middle" else event(output))
    chunks = b"".join(wire.chunk(body[i : i + 50_000]) for i in range(0, len(body), 50_000))
    await scene.begin(wire.stream() + chunks + wire.end)
    answer = await scene.ask(wire.request())
    assert (answer.body, answer.complete) == (body, True)
    await check_metered(scene)
