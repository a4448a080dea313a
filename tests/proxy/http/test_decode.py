"""Decoding beside the stream: chunks of any size, and no more of a bomb than fits."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.decode import MAX_STEP, Undecodable, decoder
from simulator.provider.coding import encode


def raw_deflate(data: bytes) -> bytes:
    state = zlib.compressobj(wbits=-15)
    return state.compress(data) + state.flush()


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "none": ("", bytes),
    "identity": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "capitals and blanks": (" GZip ", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", lambda data: encode("zstd", data)),
}


@given(st.sampled_from(sorted(ENCODERS)), st.binary(max_size=2_000), st.integers(1, 50))
def test_chunks_of_any_size_give_the_bytes_back(name: str, data: bytes, size: int) -> None:
    coding, compress = ENCODERS[name]
    encoded = compress(data)
    step = decoder(coding)
    assert step is not None
    assert b"".join(step(encoded[i : i + size]) for i in range(0, len(encoded), size)) == data


@pytest.mark.parametrize("coding", ["compress", "gzip, br", "dcb", "*"])
def test_an_unknown_coding_has_no_decoder(coding: str) -> None:
    assert decoder(coding) is None


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_bytes_that_are_no_such_coding(coding: str) -> None:
    step = decoder(coding)
    assert step is not None
    with pytest.raises(Undecodable):
        step(b"\x07 nothing of the kind \xff\xfe\xfd" * 10)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_is_not_inflated(coding: str) -> None:
    zeros = bytes(3 * MAX_STEP)
    zstd: Any = zstandard.ZstdCompressor(level=1)
    compress: dict[str, Callable[[], bytes]] = {
        "gzip": lambda: gzip.compress(zeros, 1),
        "deflate": lambda: zlib.compress(zeros, 1),
        "br": lambda: brotli.compress(zeros, quality=1),
        "zstd": lambda: zstd.compress(zeros),
    }
    step = decoder(coding)
    assert step is not None
    with pytest.raises(Undecodable):
        step(compress[coding]())


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("together", [True, False], ids=["in one chunk", "in two"])
def test_a_body_of_several_members(coding: str, together: bool) -> None:
    """Both formats allow to put compressed pieces one behind the other."""
    zstd: Any = zstandard.ZstdCompressor()
    compress = gzip.compress if coding == "gzip" else zstd.compress
    chunks = [compress(b"first "), compress(b"second")]
    step = decoder(coding)
    assert step is not None
    assert b"".join(map(step, [b"".join(chunks)] if together else chunks)) == b"first second"
