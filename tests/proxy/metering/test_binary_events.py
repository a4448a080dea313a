"""AWS' binary event streams: Converse's own events, and a model's events inside of them."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.values import Usage
from proxy.metering import framing
from proxy.metering.taps import tap
from proxy.metering.usage import Report, read_answer

CONTENT = "application/vnd.amazon.eventstream"


def frame(kind: str, payload: bytes) -> bytes:
    """One frame, as botocore reads it."""
    headers = b""
    for name, value in ((b":event-type", kind.encode()), (b":content-type", b"application/json")):
        headers += bytes([len(name)]) + name + b"\x07" + len(value).to_bytes(2, "big") + value
    total = 12 + len(headers) + len(payload) + 4
    prelude = total.to_bytes(4, "big") + len(headers).to_bytes(4, "big")
    start = prelude + zlib.crc32(prelude).to_bytes(4, "big") + headers + payload
    return start + zlib.crc32(start).to_bytes(4, "big")


def event(kind: str, document: object) -> bytes:
    return frame(kind, json.dumps(document).encode())


def wrapped(document: object) -> bytes:
    inner = base64.b64encode(json.dumps(document).encode()).decode()
    return event("chunk", {"bytes": inner, "p": "abcdefghij"})


CONVERSE = b"".join(
    (
        event("messageStart", {"p": "abc", "role": "assistant"}),
        event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Blue."}}),
        event("messageStop", {"stopReason": "end_turn"}),
        event("metadata", {"metrics": {"latencyMs": 1}, "usage": {
            "inputTokens": 10, "outputTokens": 20, "totalTokens": 1_030, "cacheReadInputTokens": 900,
            "cacheWriteInputTokens": 100, "cacheDetails": [{"inputTokens": 60, "ttl": "1h"}]}}),
    )
)  # fmt: skip
CLAUDE = b"".join(
    (
        wrapped({"type": "message_start", "message": {"model": "claude-sonnet-4-5-20250929", "usage": {
            "input_tokens": 10, "cache_read_input_tokens": 900, "output_tokens": 1}}}),
        wrapped({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "B"}}),
        wrapped({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 20}}),
        wrapped({"type": "message_stop", "amazon-bedrock-invocationMetrics": {
            "inputTokenCount": 10, "outputTokenCount": 20, "cacheReadInputTokenCount": 900}}),
    )
)  # fmt: skip


def read(body: bytes, cuts: list[int]) -> Report:
    made = tap("other", CONTENT, "")
    for a, b in pairwise([0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]):
        made.feed(body[a:b])
    return made.end()


@given(st.lists(st.integers(0, 5_000), max_size=10))
def test_converse(cuts: list[int]) -> None:
    found = read(CONVERSE, cuts).usage
    assert found == Usage(1_010, 20, 900, None, 40, 60)


@given(st.lists(st.integers(0, 5_000), max_size=10))
def test_a_models_own_events(cuts: list[int]) -> None:
    report = read(CLAUDE, cuts)
    assert (report.usage, report.model) == (Usage(910, 20, 900), "claude-sonnet-4-5-20250929")


@given(st.binary(max_size=200))
def test_junk_says_nothing(body: bytes) -> None:
    assert read(body, []).said is None


def test_what_was_read_before_the_stream_broke_still_counts() -> None:
    assert read(CONVERSE + b"\xff" * 100, [3, 50]).usage.output_tokens == 20


def test_of_a_chunk_that_unpacks_to_very_many_frames_only_the_first_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = []

    def counted(document: bytes, api: str) -> Report:
        read.append(document)
        return read_answer(document, api)

    monkeypatch.setattr(framing, "read_answer", counted)
    tiny = frame("metadata", b'{"usage":{"inputTokens":1,"outputTokens":2}}')
    made = tap("other", CONTENT, "gzip")
    made.feed(gzip.compress(tiny * (2 * framing.MAX_FRAMES)))
    made.feed(b"more of what nobody reads")
    assert len(read) == framing.MAX_FRAMES
    assert made.end().usage == Usage(1, 2)
