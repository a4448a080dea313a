"""Parts of a stream of frames: together they are the stream, whatever comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.websocket.reader import Reader

HELLO = b"\x81\x05hello"
BEGUN, ENDED = b"\x01\x02he", b"\x80\x03llo"
PING = b"\x89\x01!"

streams = st.lists(st.sampled_from([HELLO, BEGUN, ENDED, PING, b"\x82\x7e\x01\x00" + b"x" * 256, b"\xff"]))


@given(streams, st.lists(st.integers(1, 20)))
def test_no_byte_is_lost_and_none_comes_twice(frames: list[bytes], sizes: list[int]) -> None:
    reader, data, passed = Reader("upstream"), b"".join(frames), b""
    for size in [*sizes, len(data)]:
        chunk, data = data[:size], data[size:]
        passed += b"".join(part.raw for part in reader.read(chunk))
        if not reader.readable:
            passed, reader.rest = passed + reader.rest, b""
    assert passed + reader.rest == b"".join(frames)


def test_a_part_brings_the_text_that_it_completes() -> None:
    parts = list(Reader("upstream").read(BEGUN + PING + ENDED + HELLO))
    assert [part.raw for part in parts] == [BEGUN, PING, ENDED, HELLO]
    assert [part.text and part.text.data for part in parts] == [None, None, b"hello", b"hello"]


def test_bytes_that_tell_of_no_frame_yet_come_with_it() -> None:
    reader = Reader("upstream")
    assert list(reader.read(HELLO[:1])) == []
    assert (reader.rest, reader.between_frames) == (HELLO[:1], False)
    (head,) = reader.read(HELLO[1:3])
    assert (head.raw, head.piece.ends) == (HELLO[:3], False)
    (end,) = reader.read(HELLO[3:])
    assert (end.raw, reader.rest, reader.between_frames) == (HELLO[3:], b"", True)


def test_what_is_no_frame_is_left_over() -> None:
    reader = Reader("upstream")
    assert [part.raw for part in reader.read(HELLO + b"\xff\x01")] == [HELLO]
    assert (reader.readable, reader.rest, reader.between_frames) == (False, b"\xff\x01", True)
    assert list(reader.read(HELLO)) == []
    assert reader.rest == HELLO
