"""Answers and events beyond 16 MiB, and counts with much behind them: they are counted, in bounded memory."""

from __future__ import annotations

import base64
import json
import tracemalloc

import pytest

from ledger.values import Usage
from proxy.metering.sieve import Sieve
from proxy.metering.taps import tap

USAGE = {"prompt_tokens": 16_384, "total_tokens": 16_384}
CHUNK = 64 * 1024


def embeddings(where: str) -> bytes:
    """What 2,048 texts give in base64: 16.8 MB."""
    vector = base64.b64encode(bytes(1536 * 4)).decode()
    data = [{"object": "embedding", "index": i, "embedding": vector} for i in range(2_048)]
    ends = {"model": "text-embedding-3-small", "usage": USAGE}
    document = {"object": "list", "data": data}
    return json.dumps({**ends, **document} if where == "start" else {**document, **ends}).encode()


@pytest.mark.parametrize("where", ["start", "end"])
@pytest.mark.parametrize("chunk", [CHUNK, 65_521, 10_000_000])
def test_a_long_answer(where: str, chunk: int) -> None:
    body = embeddings(where)
    assert len(body) > 16 * 1024 * 1024
    made = tap("embeddings", "application/json", "")
    for start in range(0, len(body), chunk):
        made.feed(body[start : start + chunk])
    report = made.end()
    assert (report.usage, report.model) == (Usage(16_384, 0), "text-embedding-3-small")


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_a_long_event(line_end: bytes) -> None:
    picture = "A" * 18_000_000
    events = (
        {"type": "image_generation.partial_image", "b64_json": "A"},
        {"type": "image_generation.completed", "b64_json": picture,
         "usage": {"input_tokens": 50, "output_tokens": 4_000, "total_tokens": 4_050}},
    )  # fmt: skip
    body = b"".join(b"data: " + json.dumps(event).encode() + line_end * 2 for event in events)
    made = tap("images", "text/event-stream", "")
    tracemalloc.start()
    for start in range(0, len(body), CHUNK):
        made.feed(body[start : start + CHUNK])
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    report = made.end()
    assert (report.usage.input_tokens, report.usage.output_tokens, report.final) == (50, 4_000, True)
    assert kept < 18_000_000


EVENT = b'data: {"model":"m","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'


@pytest.mark.parametrize("behind", [b": ping\n\n", b'data: {"choices":[],"usage":null}\n\n'])
@pytest.mark.parametrize("times", [17, 5_000])
def test_counts_with_many_events_behind_them(behind: bytes, times: int) -> None:
    body = b'data: {"model":"m","choices":[]}\n\n' + EVENT + behind * times + b"data: [DONE]\n\n"
    made = tap("chat_completions", "text/event-stream", "")
    for start in range(0, len(body), 1_000):
        made.feed(body[start : start + 1_000])
    report = made.end()
    assert (report.usage, report.model, report.final) == (Usage(7, 2), "m", True)


@pytest.mark.parametrize("size", [1, 5, 17, 100])
def test_an_object_cut_anywhere(size: int) -> None:
    body = json.dumps(
        {"a": "x" * 300, "usage": {"input_tokens": 5, "output_tokens": 6}, "b": "y" * 300}
    ).encode()
    sieve = Sieve("responses")
    for start in range(0, len(body), size):
        sieve.feed(body[start : start + size])
    assert sieve.end().usage == Usage(5, 6)
