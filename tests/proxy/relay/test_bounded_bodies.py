"""What a caller sends costs what its size allows: decoded objects are bounded as bytes are."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering import asked as asked_module
from proxy.metering.asked import NOTHING_ASKED, Asked, RequestReader, read_body, read_request
from proxy.metering.members import LONG, MAX_MEMBER, SMALL, brief, outline
from proxy.relay import charge as charge_module
from proxy.relay.charge import read_ask
from proxy.relay.include_usage import asking

if TYPE_CHECKING:
    from tests.proxy.conftest import Scene, Wire

SIZE = 12 * 2**20
MEMBERS = [
    *(
        "model",
        "stream",
        "stream_options",
        "reasoning",
        "reasoning_effort",
        "service_tier",
        "prompt_cache_key",
    ),
    *("input", "response", "n", "max_tokens", "prompt", "conversation", "anything", "previous_response_id"),
]
SHAPES: dict[str, Callable[[int], bytes]] = {
    "objects": lambda size: b"[" + b"{}," * (size // 3) + b"{}]",
    "lists": lambda size: b"[" + b"[]," * (size // 3) + b"[]]",
    "numbers": lambda size: b"[" + b"1," * (size // 2) + b"1]",
    "texts": lambda size: b"[" + b'"a",' * (size // 4) + b'"a"]',
    "members": lambda size: b"{" + b",".join(b'"%d":0' % n for n in range(size // 10)) + b"}",
    "one text": lambda size: b'"' + b"a" * size + b'"',
    "depth": lambda size: b"[" * (size // 2) + b"]" * (size // 2),
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda data: brotli.compress(data, quality=2),
    "zstd": zstandard.ZstdCompressor(level=1).compress,
}


def body(member: str, shape: str, size: int = SIZE) -> bytes:
    last = b"" if member == "model" else b',"model":"gpt-5.4"'
    return b'{"%b":%b%b}' % (member.encode(), SHAPES[shape](size), last)


def peak(read: Callable[[], object]) -> int:
    """Bytes that reading takes at once."""
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.slow
def test_no_member_of_a_request_costs_more_than_its_bytes(member: str, shape: str) -> None:
    text = body(member, shape)
    for read in (lambda: read_request(text), lambda: read_ask(text, len(text), "responses")):
        assert peak(read) < len(text) + 2**20


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.slow
def test_asking_for_counts_builds_nothing_of_the_rest(shape: str) -> None:
    text = body("messages", shape)
    if shape == "depth":
        return
    assert peak(lambda: asking(text)) < 4 * len(text)


@pytest.mark.parametrize("coding", PACKERS)
@pytest.mark.slow
def test_a_bomb_is_not_unpacked_to_its_end(coding: str) -> None:
    bomb = PACKERS[coding](b'{"model":' + SHAPES["objects"](64 * 2**20) + b"}")
    assert peak(lambda: read_body(bomb, "", coding)) < 100 * 2**20


def test_what_a_long_request_asks_for_is_read_all_the_same() -> None:
    text = json.dumps(
        {
            "input": [{"role": "user", "content": "hello"}] * 50_000,
            "stream": True,
            "stream_options": {"include_usage": True},
            "reasoning": {"effort": "high"},
            "service_tier": "flex",
            "model": "gpt-5.4",
            "max_output_tokens": 77,
            "prompt": {"id": "p", "variables": {"a": "x" * MAX_MEMBER}},
        }
    ).encode()
    found = read_request(text)
    assert (found.model, found.stream, found.include_usage) == ("gpt-5.4", True, True)
    assert (found.reasoning_effort, found.service_tier) == ("high", "flex")
    ask = read_ask(text, len(text), "responses")
    assert (ask.model, ask.output, ask.hidden) == ("gpt-5.4", 77, True)


def test_the_limit_of_a_long_inner_response_is_read() -> None:
    inner = {"instructions": "x" * 2 * MAX_MEMBER, "max_output_tokens": 5}
    assert read_ask(json.dumps({"model": "m", "response": inner}).encode(), 1, "responses").output == 5


texts = st.text(max_size=20) | st.text('\\"{}[]', max_size=40) | st.just("x" * 2_000) | st.just('\\"' * 300)


@given(st.dictionaries(texts, texts | st.lists(texts, max_size=4), max_size=8), st.booleans())
def test_an_outline_is_the_same_document_with_long_texts_emptied(
    members: dict[str, object], ascii: bool
) -> None:
    text = json.dumps({**members, "padding": "x" * LONG}, ensure_ascii=ascii).encode()
    found = outline(text)
    assert len(found) < 40_000

    def emptied(value: object) -> object:
        if isinstance(value, list):
            return [emptied(one) for one in value]
        written = json.dumps(value, ensure_ascii=ascii).encode()
        return "" if len(written) - 1 > 256 else value

    wanted = json.loads(text)
    assert json.loads(found) == {emptied(key): emptied(value) for key, value in wanted.items()}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.slow
def test_a_long_document_is_outlined_or_given_up(shape: str) -> None:
    assert len(outline(body("input", shape))) <= LONG
    assert len(outline(body("input", shape)[:-1] + b"\\" * 2**20)) <= LONG


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"model":"a"} x', b"[" * 5_000, b'{"a":' * 5_000])
def test_what_is_no_object_asks_for_nothing(text: bytes) -> None:
    assert read_request(text) is NOTHING_ASKED
    assert read_request(text + b" " * SMALL) is NOTHING_ASKED


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(MEMBERS), json_values))
def test_a_brief_document_asks_for_the_same(members: dict[str, object]) -> None:
    text = json.dumps(members).encode()
    padded = text[:-1] + (b"," if members else b"") + b'"padding":"' + b"x" * SMALL + b'"}'
    assert len(brief(padded)) <= len(text)
    assert read_request(padded) == read_request(text)
    assert read_ask(padded, 1, "responses") == read_ask(text, 1, "responses")


@given(st.dictionaries(st.text(max_size=9), json_values, max_size=6), st.text(" \n\t", max_size=3))
def test_asking_for_counts_changes_nothing_else(members: dict[str, object], space: str) -> None:
    text = (space + json.dumps(members) + space).encode()
    options = members.get("stream_options")
    kept = options if isinstance(options, dict) else {}
    assert json.loads(asking(text)) == {**members, "stream_options": {**kept, "include_usage": True}}


@pytest.mark.parametrize("coding", [None, "gzip"])
async def test_others_do_not_wait_while_a_hostile_body_is_read(
    scene: Scene, wire: type[Wire], coding: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read in threads, and the loop goes on meanwhile."""
    turns, during, threads = 0, list[int](), set[int]()
    plain = RequestReader.end

    def end(reader: RequestReader) -> Asked:
        before = turns
        threads.add(threading.get_ident())
        asked = plain(reader)
        during.append(turns - before)
        return asked

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    monkeypatch.setattr(RequestReader, "end", end)
    await scene.begin(wire.answer())
    text = body("model", "objects", 16 * 2**20 - 64)
    packed = gzip.compress(text) if coding else text
    clients = [await scene.connect() for _ in range(4)]
    counting = asyncio.create_task(count())
    for client in clients:
        client.patience = 60
        await client.send(wire.request(packed, *(("Content-Encoding: gzip",) if coding else ())))
    for client in clients:
        assert (await client.message()).start == b"HTTP/1.1 200 OK"
    counting.cancel()
    assert len(during) == 4
    assert threading.get_ident() not in threads
    assert sum(during) > 0


def test_whatever_is_read_of_a_request_is_kept_in_brief() -> None:
    """A member that a reader asks for and the brief document lacks would be lost in long requests alone."""
    readers = (*asked_module._Question.__struct_fields__, *charge_module._Body.__struct_fields__)
    document = dict.fromkeys(readers, "x") | {"padding": "x" * SMALL}
    assert json.loads(brief(json.dumps(document).encode())) == dict.fromkeys(readers, "x")
