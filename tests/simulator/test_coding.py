"""Content codings there and back, and what is not one."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.errors import CodingError
from simulator.provider.coding import decode, encode, encoder

CODINGS: list[Any] = ["identity", "gzip", "deflate", "br", "zstd"]


@pytest.mark.parametrize("coding", CODINGS)
def test_a_body_there_and_back(coding: Any) -> None:
    body = "naïve ".encode() * 1_000
    assert decode(coding, encode(coding, body)) == body


@pytest.mark.parametrize("coding", CODINGS)
def test_a_stream_decodes_to_what_was_pushed(coding: Any) -> None:
    stream = encoder(coding)
    parts = [b"one ", b"two ", b"three"]
    assert decode(coding, b"".join(stream.push(p) for p in parts) + stream.end()) == b"one two three"


@pytest.mark.parametrize("coding", CODINGS[1:])
def test_broken_bytes_are_named(coding: Any) -> None:
    with pytest.raises(CodingError, match=f"not valid {coding}"):
        decode(coding, b"\x01\x02\x03 not coded at all")


def test_an_unknown_coding_is_named() -> None:
    with pytest.raises(CodingError, match="'rot13' is not known"):
        decode("rot13", b"")
