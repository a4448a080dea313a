"""Taps: whatever the chunks of an answer are, the report is the same, and what is kept is bounded."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ledger.values import NO_USAGE, Usage
from proxy.http.decode import decoder
from proxy.metering import usage
from proxy.metering.taps import MessageTap, NoTap, tap
from proxy.metering.usage import NOTHING, Report, _Answer
from simulator.provider.apis.call import Call
from simulator.provider.apis.catalogue import APIS
from simulator.provider.coding import encode, encoder
from simulator.provider.script import Answer
from tests.support.cases import each

USAGE = Usage(1_200, 345, 1_000, 300)
REQUEST = {"model": "gpt-5.4", "stream": True, "stream_options": {"include_usage": True}}
STREAMED = sorted(path for path, api in APIS.items() if api.events)
EVENTS = "text/event-stream; charset=utf-8"


def stream(path: str, **answer: Any) -> bytes:
    """A provider's whole stream."""
    make = APIS[path].events
    assert make is not None
    return b"".join(e.data for e in make(Call(0, REQUEST, Answer(usage=USAGE, **answer))))


def report(path: str, chunks: Sequence[bytes], coding: str = "", content: str = EVENTS) -> Report:
    made = tap(APIS[path].name, content, coding)
    for chunk in chunks:
        made.feed(chunk)
    return made.end()


def expected(path: str) -> Usage:
    return APIS[path].told(Call(0, REQUEST, Answer(usage=USAGE)))


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("path", STREAMED)
@pytest.mark.slow
def test_a_cut_at_every_offset(path: str, line_end: bytes) -> None:
    whole = stream(path, events=1).replace(b"\n", line_end)
    for offset in range(len(whole) + 1):
        found = report(path, [whole[:offset], whole[offset:]])
        assert (found.usage, found.model, found.final) == (expected(path), "gpt-5.4", True), offset


@pytest.mark.parametrize("path", STREAMED)
def test_one_byte_at_a_time(path: str) -> None:
    whole = stream(path)
    assert report(path, [whole[i : i + 1] for i in range(len(whole))]).usage == expected(path)


@given(st.sampled_from(STREAMED), st.lists(st.integers(0, 4_000), max_size=12), st.integers(0, 60))
def test_any_chunks_give_the_report_of_the_whole(path: str, cuts: list[int], events: int) -> None:
    whole = stream(path, events=events)
    edges = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    chunks = [whole[a:b] for a, b in pairwise(edges)]
    assert report(path, chunks) == report(path, [whole])
    assert report(path, chunks).usage == expected(path)


@given(st.sampled_from(["gzip", "deflate", "br", "zstd"]), st.lists(st.integers(0, 4_000), max_size=8))
def test_any_chunks_of_a_compressed_stream(coding: Any, cuts: list[int]) -> None:
    state = encoder(coding)
    whole = state.push(stream("/v1/responses")) + state.end()
    edges = [0, *sorted(cut % (len(whole) + 1) for cut in cuts), len(whole)]
    chunks = [whole[a:b] for a, b in pairwise(edges)]
    assert report("/v1/responses", chunks, coding).usage == USAGE


@pytest.mark.parametrize("path", STREAMED)
@pytest.mark.parametrize("missing", [1, 2])
def test_no_newline_at_the_end(path: str, missing: int) -> None:
    assert report(path, [stream(path)[:-missing]]).usage == expected(path)


@pytest.mark.parametrize("path", STREAMED)
def test_counts_are_found_behind_many_events(path: str) -> None:
    whole = stream(path, events=1_000)
    chunks = [whole[i : i + 1_000] for i in range(0, len(whole), 1_000)]
    assert report(path, chunks).usage == expected(path)


COUNTS: Mapping[str, Any] = {
    "nothing": None,
    "input": {"prompt_tokens": 1_200},
    "all but the cache": {"prompt_tokens": 1_200, "completion_tokens": 345},
    "all": {
        "prompt_tokens": 1_200,
        "completion_tokens": 345,
        "prompt_tokens_details": {"cached_tokens": 1_000},
    },
}


@example(["nothing", "all", *["nothing"] * 12, "all but the cache"], 2)
@example(["nothing", "all", *["nothing"] * 12, "input"], 2)
@given(st.lists(st.sampled_from(["nothing", "nothing", *COUNTS]), max_size=12), st.integers(0, 20))
def test_counts_in_a_block_are_found_wherever_they_stand(told: list[str], nothing_after: int) -> None:
    """Where each event says that it has none, they are looked for at the end first."""
    written = [*told, *["nothing"] * nothing_after]
    parts = [
        b"data: %b\n\n" % json.dumps({"model": "gpt-5.4", "pad": "x" * 400, "usage": COUNTS[name]}).encode()
        for name in written
    ]
    one_by_one = report("/v1/chat/completions", parts)
    assert report("/v1/chat/completions", [b"".join(parts)]).usage == one_by_one.usage
    if "all" in told:
        assert (one_by_one.usage.input_tokens, one_by_one.usage.cached_input_tokens) == (1_200, 1_000)


def test_counts_of_another_answer_before_do_not_hide_those_of_a_later_one() -> None:
    """Each chunk is looked at for itself: that an earlier one had all the counts says nothing of it."""
    first, second = COUNTS["all"], {**COUNTS["all"], "completion_tokens": 7_000}
    told = ([None, first], [None, second, *[None] * 12])
    chunks = [
        b"".join(
            b"data: %b\n\n" % json.dumps({"model": "gpt-5.4", "pad": "x" * 400, "usage": usage}).encode()
            for usage in chunk
        )
        for chunk in told
    ]
    assert report("/v1/chat/completions", chunks).usage.output_tokens == 7_000


@pytest.mark.parametrize("path", STREAMED)
def test_nothing_is_left_for_the_garbage_collector(path: str) -> None:
    """It runs seldom in the proxy: what would wait for it holds the ends of a stream."""
    whole = stream(path, events=20)
    report(path, [whole])
    gc.collect()
    for _ in range(50):
        report(path, [whole[:900], whole[900:]])
    assert gc.collect() < 50


@pytest.mark.parametrize("path", STREAMED)
def test_pings_may_follow_the_counts(path: str) -> None:
    assert report(path, [stream(path), *[b": still here, but nothing to say\n\n"] * 12]).usage == expected(
        path
    )


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("chunk", [1_000, 16_384, 65_536])
@pytest.mark.parametrize("size", [5_000, 200_000, 5_000_000])
@pytest.mark.slow
def test_a_last_event_that_repeats_the_whole_answer(size: int, chunk: int, line_end: bytes) -> None:
    """`response.completed` carries all of the output, and instructions and tools besides."""
    whole = stream("/v1/responses", events=3, word="x" * (size // 3)).replace(b"\n", line_end)
    chunks = [whole[i : i + chunk] for i in range(0, len(whole), chunk)]
    found = report("/v1/responses", chunks)
    assert (found.usage, found.model, found.final) == (USAGE, "gpt-5.4", True)


@pytest.mark.parametrize(
    ("path", "chunk", "first"),
    [
        ("/v1/responses", b'data: {"type":"response.output_text.delta","delta":"x"}\n\n', True),
        ("/v1/responses", b'data: {"type": "response.reasoning_summary_text.delta"}\n\n', True),
        ("/v1/responses", b'data: {"type":"response.created","response":{}}\n\n', False),
        ("/v1/chat/completions", b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n', True),
        ("/v1/chat/completions", b'data: {"choices":[{"delta":{"role":"x","content":""}}]}\n\n', False),
        ("/v1/chat/completions", b'data: {"choices":[{"delta":{"tool_calls":[{"name":"f"}]}}]}\n\n', True),
        ("/v1/completions", b'data: {"choices":[{"text":"x"}]}\n\n', True),
        ("/v1/completions", b'data: {"choices":[{"text":""}]}\n\n', False),
        ("/v1/messages", b'data: {"type":"content_block_delta","delta":{}}\n\n', True),
        ("/v1/messages", b'data: {"type":"message_start","message":{}}\n\n', False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_the_first_token_is_seen_in_pieces_too(path: str, chunk: bytes, first: bool, size: int) -> None:
    made = tap(APIS[path].name, EVENTS, "")
    for start in range(0, len(chunk), size):
        made.feed(chunk[start : start + size])
    assert made.first_token_seen is first


EVENT = b'data: {"model":"m","usage":{"input_tokens":1,"output_tokens":2}}\n\n'
DOCUMENT = b' {"model":"m","usage":{"input_tokens":1,"output_tokens":2}}'
LINE = b'{"model":"m"}\n{"model":"m","usage":{"input_tokens":1,"output_tokens":2}}\n'


@each("size", [1, 3, 1_000])
@each("body", [EVENT, b": ping\n\n" + EVENT, DOCUMENT, b"\xef\xbb\xbf" + DOCUMENT, LINE])
@each(
    "content",
    ["text/event-stream", "application/json", "application/x-ndjson", "text/plain", "audio/mpeg", "",
     "application/octet-stream", "Text/Event-Stream; charset=utf-8", "application/problem+json"],
)  # fmt: skip
def test_first_bytes_say_what_an_answer_is_whatever_its_head_says(
    content: str, body: bytes, size: int
) -> None:
    found = report("/v1/responses", [body[i : i + size] for i in range(0, len(body), size)], "", content)
    assert (found.usage, found.model) == (Usage(1, 2), "m")


@pytest.mark.parametrize(
    ("content", "coding", "streams"),
    [("text/event-stream", "", True), ("text/event-stream", "gzip", True), ("text/plain", "", False)],
)
def test_an_empty_answer_is_what_its_head_says(content: str, coding: str, streams: bool) -> None:
    assert tap("responses", content, coding).streams is streams


@pytest.mark.parametrize("coding", ["compress", "gzip, br"])
def test_what_cannot_be_decoded_is_not_read(coding: str) -> None:
    assert type(tap("responses", EVENTS, coding)) is NoTap


@pytest.mark.parametrize("path", sorted(APIS))
@pytest.mark.parametrize("coding", ["identity", "gzip", "br"])
def test_a_whole_document_in_pieces(path: str, coding: Any) -> None:
    call = Call(0, REQUEST, Answer(usage=USAGE))
    body = encode(coding, json.dumps(APIS[path].body(call)).encode())
    pieces = [body[i : i + 100] for i in range(0, len(body), 100)]
    assert report(path, pieces, coding, "application/json").usage == APIS[path].told(call)


@given(st.lists(st.binary(max_size=40), max_size=10), st.sampled_from(["", "gzip", "br", "zstd", "deflate"]))
def test_junk_says_nothing_and_never_raises(chunks: list[bytes], coding: str) -> None:
    for content in (EVENTS, "application/json"):
        found = report("/v1/responses", [c.replace(b"\xff", b"") for c in chunks], coding, content)
        assert found.usage is NO_USAGE


def test_what_was_reported_before_bytes_broke_still_counts() -> None:
    state = encoder("gzip")
    chunks = [state.push(stream("/v1/responses")), b"this is no gzip"]
    assert report("/v1/responses", chunks, "gzip").usage == USAGE


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param((b'data: {"type":"response.output_text.delta"}\n\n',), id="whole events"),
        pytest.param(
            (b'data: {"type":"response.output_text.delta"}\n', b"\n"),
            id="blank lines of their own",
        ),
        pytest.param((b'data: {"type":"response.output_text.delta"}\r\n', b"\r\n"), id="CRLF"),
    ],
)
@pytest.mark.slow
def test_a_long_stream_is_not_kept(pieces: tuple[bytes, ...]) -> None:
    made = tap("responses", EVENTS, "")
    tracemalloc.start()
    for _ in range(8_000):
        for piece in pieces:
            made.feed(bytes(bytearray(piece)))
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 200_000


TINY = [
    *(f'{{"usage":{{"input_tokens":{number},"output_tokens":1}}}}' for number in range(1, 40_001)),
    '{"model":"gpt-5.4","usage":{"input_tokens":7,"output_tokens":345}}',
    '{"type":"response.completed"}',
]
QUOTAS = [
    f'{{"type":"codex.rate_limits","rate_limits":{{"primary":{{"used_percent":{number % 100}}}}}}}'
    for number in range(20_000)
]


def joined(documents: Sequence[str], form: str) -> bytes:
    """As one of the ways to send many documents."""
    if form == "list":
        return f"[{','.join(documents)}]".encode()
    if form == "lines":
        return "\n".join([*documents, ""]).encode()
    end = {"LF": "\n", "CRLF": "\r\n", "CR": "\r"}[form]
    return "".join(f"data: {document}{end}{end}" for document in documents).encode()


@pytest.mark.parametrize(
    ("form", "content"),
    [
        ("LF", EVENTS),
        ("CRLF", EVENTS),
        ("CR", EVENTS),
        ("lines", "application/x-ndjson"),
        ("lines", "application/json"),
        ("list", "application/json"),
    ],
)
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_of_many_tiny_events_at_once_few_are_read(
    form: str, content: str, coding: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a provider sends at once is read in one turn of the loop, for which all others wait."""
    read = []

    def counted(document: _Answer, api: str) -> Report:
        read.append(document)
        return make(document, api)

    make = usage._report
    monkeypatch.setattr(usage, "_report", counted)
    whole = joined(TINY, form)
    found = report("/v1/responses", [encode(coding, whole) if coding else whole], coding, content)
    assert (found.usage.output_tokens, found.model) == (345, "gpt-5.4")
    assert len(read) < 1_500


def test_of_many_tiny_events_about_quota_few_are_read() -> None:
    for chunks, made in (
        ([joined([*QUOTAS, TINY[-2]], "LF")], tap("responses", EVENTS, "")),
        ([*(one.encode() for one in QUOTAS), TINY[-2].encode()], MessageTap("responses")),
    ):
        for chunk in chunks:
            made.feed(chunk)
        assert made.end().usage.output_tokens == 345
        assert 0 < len(made.quota_events) < 1_000
        assert json.loads(made.quota_events[-1]) == json.loads(QUOTAS[-1])


def test_an_answer_beyond_all_measure_is_not_kept() -> None:
    made = tap("responses", "application/json", "")
    tracemalloc.start()
    for _ in range(40):
        made.feed(bytes(1 << 20))
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 17 << 20
    assert made.end() == NOTHING


def test_a_decoder_of_nothing_is_none() -> None:
    assert decoder("compress") is None
