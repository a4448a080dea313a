"""Decompressing a copy of the bytes that pass, so that compressed answers are metered too.

The client's bytes are never touched. What cannot be decoded is not metered, and that is counted as
missing usage like any other.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

import brotli
import zstandard

from proxy.errors import ProxyError

MAX_STEP = 16 * 1024 * 1024
"""Bytes that one chunk may grow to: a bomb is not inflated here."""


_ZSTD_SLICE = 256
"""Bytes taken at once: the library has no bound of its own, and a block of four may hold 128 KiB."""


class Decoder(Protocol):
    """Takes chunks as they pass and gives the plain bytes that they complete."""

    def __call__(self, chunk: bytes) -> bytes: ...


class Undecodable(ProxyError):
    """The bytes are not what their Content-Encoding says, or too large when unpacked."""


def decoder(content_encoding: str) -> Decoder | None:
    """A decoder for a Content-Encoding; None where there is none for it (several, or unknown)."""
    make = _DECODERS.get(content_encoding.strip().lower())
    return make() if make else None


def plain(chunk: bytes) -> bytes:
    """The decoder of bytes that are not encoded."""
    return chunk


def _zlib(window: int) -> Decoder:
    state = zlib.decompressobj(window)

    def step(chunk: bytes) -> bytes:
        nonlocal state
        out = b""
        while chunk:
            if state.eof:  # several members may stand one behind the other
                state = zlib.decompressobj(window)
            try:
                out += state.decompress(chunk, MAX_STEP)
            except zlib.error as error:
                raise Undecodable(str(error)) from error
            if state.unconsumed_tail or len(out) > MAX_STEP:
                raise Undecodable(f"{len(chunk)} bytes unpack to more than {MAX_STEP}")
            chunk = state.unused_data
        return out

    return step


def _deflate() -> Decoder:
    """`deflate` is zlib by the standard and raw deflate by habit: the first byte tells."""
    step: Decoder | None = None

    def first(chunk: bytes) -> bytes:
        nonlocal step
        if step is None and chunk:
            step = _zlib(zlib.MAX_WBITS if chunk[0] & 0x0F == 8 else -zlib.MAX_WBITS)
        return step(chunk) if step else b""

    return first


def _brotli() -> Decoder:
    state = brotli.Decompressor()

    def step(chunk: bytes) -> bytes:
        try:
            out: bytes = state.process(chunk, output_buffer_limit=MAX_STEP)
        except brotli.error as error:
            raise Undecodable(str(error)) from error
        if not state.can_accept_more_data():
            raise Undecodable(f"a chunk of {len(chunk)} bytes unpacks to more than {MAX_STEP}")
        return out

    return step


def _zstd() -> Decoder:
    state = zstandard.ZstdDecompressor(max_window_size=2**27).decompressobj(read_across_frames=True)

    def step(chunk: bytes) -> bytes:
        parts, size = [], 0
        try:
            for start in range(0, len(chunk), _ZSTD_SLICE):
                parts.append(state.decompress(chunk[start : start + _ZSTD_SLICE]))
                size += len(parts[-1])
                if size > MAX_STEP:
                    raise Undecodable(f"{len(chunk)} bytes unpack to more than {MAX_STEP}")
        except zstandard.ZstdError as error:
            raise Undecodable(str(error)) from error
        return b"".join(parts)

    return step


_DECODERS: dict[str, Callable[[], Decoder]] = {
    "": lambda: plain,
    "identity": lambda: plain,
    "gzip": lambda: _zlib(16 + zlib.MAX_WBITS),
    "x-gzip": lambda: _zlib(16 + zlib.MAX_WBITS),
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
