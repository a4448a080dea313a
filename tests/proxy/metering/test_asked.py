"""What a request's body asks for, as JSON and as a form, whole and in pieces, and what stays unread."""

from __future__ import annotations

import json
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metering.asked import NOTHING_ASKED, Asked, RequestReader, read_body, read_request

BOUNDARY = "------------------------d74496d66958873e"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def field(name: str, value: bytes, more: str = "", kind: str = "") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{kind}\r\n'
    return head.encode() + value + b"\r\n"


def form(*fields: bytes) -> bytes:
    return b"".join(fields) + f"--{BOUNDARY}--\r\n".encode()


FILE = field("file", bytes(range(256)) * 64, '; filename="a.mp3"', "Content-Type: audio/mpeg\r\n")
TRANSCRIPTION = form(
    field("response_format", b"json"), FILE, field("model", b"whisper-1"), field("stream", b"true")
)


@pytest.mark.parametrize(
    "body",
    [
        TRANSCRIPTION,
        form(field("model", b"whisper-1"), FILE, field("stream", b"True")),
        form(field("model", b"whisper-1", kind="Content-Type: text/plain\r\n"), field("stream", b"1")),
    ],
)
def test_a_form(body: bytes) -> None:
    assert read_body(body, FORM, "") == Asked(model="whisper-1", stream=True)


def test_a_form_may_have_something_before_its_first_part() -> None:
    before = b'{"model": "another"}\r\n'
    small = form(field("model", b"whisper-1"), field("stream", b"1"))
    assert read_body(before + small, FORM, "") == Asked(model="whisper-1", stream=True)


@given(st.lists(st.integers(0, len(TRANSCRIPTION)), max_size=12))
def test_a_form_in_pieces(cuts: list[int]) -> None:
    reader = RequestReader(FORM, "")
    for a, b in pairwise([0, *sorted(cuts), len(TRANSCRIPTION)]):
        reader.feed(TRANSCRIPTION[a:b])
    assert reader.end() == Asked(model="whisper-1", stream=True)


def test_a_large_form_is_not_kept() -> None:
    reader, piece = RequestReader(FORM, ""), bytes(1 << 20)
    reader.feed(field("file", b"", '; filename="a"')[:-2])
    tracemalloc.start()
    for _ in range(40):
        reader.feed(piece)
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    reader.feed(b"\r\n" + form(field("model", b"gpt-4o-transcribe")))
    assert kept < 100_000
    assert reader.end().model == "gpt-4o-transcribe"


@pytest.mark.parametrize(
    ("stream", "asked"), [(True, True), (1, True), ("true", True), (False, False), (0, False), (None, False)]
)
def test_how_a_stream_is_asked_for(stream: object, asked: bool) -> None:
    assert read_request(json.dumps({"stream": stream}).encode()).stream is asked


def test_fast_is_a_tier() -> None:
    assert read_request(b'{"speed": "fast"}').service_tier == "fast"
    assert read_request(b'{"service_tier": "priority", "speed": "fast"}').service_tier == "priority"


def test_the_characters_of_a_text_are_counted_and_those_of_a_list_are_not() -> None:
    assert read_request('{"input": "Hellö \\u00e4"}'.encode()).characters == 7
    assert read_request(b'{"input": ["a", "b"]}').characters is None


@pytest.mark.parametrize("content", ["application/octet-stream", "text/plain"])
def test_a_file_is_not_read_and_json_is_whatever_it_is_called(content: str) -> None:
    assert read_body(b"\x00\x01", content, "") == NOTHING_ASKED
    assert read_body(b' {"model": "m"}', content, "").model == "m"
