"""Frames as RFC 6455 spells them, however they are cut."""

from __future__ import annotations

import pytest

from proxy.errors import BrokenFrames
from proxy.websocket.frames import Frames, Piece, close_frame
from proxy.websocket.tunnel import Side

HELLO = bytes.fromhex("81 05 48 65 6c 6c 6f")
HELLO_MASKED = bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58")
HEL_LO = bytes.fromhex("01 03 48 65 6c 80 02 6c 6f")
PING = bytes.fromhex("89 05 48 65 6c 6c 6f")
PONG_MASKED = bytes.fromhex("8a 85 37 fa 21 3d 7f 9f 4d 51 58")
BINARY_256 = bytes.fromhex("82 7e 01 00") + bytes(range(256))
BINARY_64K = bytes.fromhex("82 7f 00 00 00 00 00 01 00 00") + bytes(range(256)) * 256
EMPTY = bytes.fromhex("81 00")


def read(sender: Side, *chunks: bytes) -> list[tuple[int, bytes, bool]]:
    """Kind, payload, and whether it ends a message, of each frame."""
    frames, found, payload, within = Frames(sender), [], b"", False
    for chunk in chunks:
        for piece in frames.read(chunk):
            assert piece.begins is not within
            payload, within = payload + piece.payload, not piece.ends
            if piece.ends:
                found.append((piece.kind, payload, piece.last))
                payload = b""
    assert frames.idle
    return found


@pytest.mark.parametrize(
    ("sender", "sent", "frames"),
    [
        ("upstream", HELLO, [(1, b"Hello", True)]),
        ("client", HELLO_MASKED, [(1, b"Hello", True)]),
        ("upstream", HEL_LO, [(1, b"Hel", False), (0, b"lo", True)]),
        (
            "upstream",
            HEL_LO[:5] + PING + HEL_LO[5:],
            [(1, b"Hel", False), (9, b"Hello", True), (0, b"lo", True)],
        ),
        ("client", PONG_MASKED + HELLO_MASKED, [(10, b"Hello", True), (1, b"Hello", True)]),
        ("upstream", BINARY_256, [(2, bytes(range(256)), True)]),
        ("upstream", EMPTY + HELLO, [(1, b"", True), (1, b"Hello", True)]),
    ],
)
def test_frames_are_read_wherever_they_are_cut(
    sender: Side, sent: bytes, frames: list[tuple[int, bytes, bool]]
) -> None:
    assert read(sender, sent) == frames
    assert read(sender, *(sent[i : i + 1] for i in range(len(sent)))) == frames
    for place in range(len(sent)):
        assert read(sender, sent[:place], sent[place:]) == frames


def test_a_long_frame_comes_in_pieces_that_say_where_they_end() -> None:
    frames = Frames("upstream")
    sent = BINARY_64K + HELLO
    assert list(frames.read(sent[:4])) == []
    assert not frames.idle
    payload = bytes(range(256)) * 256
    assert list(frames.read(sent[4:110])) == [Piece(2, payload[:100], 106, True, False, True)]
    assert list(frames.read(sent[110:])) == [
        Piece(2, payload[100:], len(payload) - 100, False, True, True),
        Piece(1, b"Hello", len(sent) - 110, True, True, True),
    ]
    assert frames.idle


@pytest.mark.parametrize(
    ("sender", "sent"),
    [
        ("client", HELLO),  # not masked
        ("upstream", HELLO_MASKED),
        ("upstream", b"\xc1" + HELLO[1:]),  # compressed, which nobody has agreed on
        ("upstream", b"\x83\x00"),  # no such kind
        ("upstream", b"\x09\x00"),  # a ping that is to go on
        ("upstream", b"\x89\x7e\x00\x7e" + bytes(126)),  # a ping that is too long
        ("upstream", b"\x82\x7f" + b"\xff" * 8),  # longer than anything
        ("upstream", b"\x80\x00"),  # goes on without a beginning
        ("upstream", HEL_LO[:5] + HELLO),  # begins within another
        ("upstream", b"HTTP/1.1 200 OK\r\n\r\n"),
    ],
)
def test_what_are_no_frames(sender: Side, sent: bytes) -> None:
    with pytest.raises(BrokenFrames):
        list(Frames(sender).read(sent))


def test_a_close_frame_holds_what_may_be_in_it() -> None:
    assert close_frame(1013, "later") == b"\x88\x07\x03\xf5later"
    frame = close_frame(1013, "x" * 122 + "é" * 10)
    assert frame[:2] == b"\x88\x7c"
    assert frame[4:].decode() == "x" * 122
    ((kind, payload, _),) = read("upstream", frame)
    assert (kind, payload) == (8, frame[2:])
