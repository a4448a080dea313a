"""Content codings: whole bodies, and streams in which every event can be read as soon as it arrives."""

from __future__ import annotations

import zlib
from importlib import import_module
from types import ModuleType
from typing import Any, Protocol

from simulator.errors import CodingError
from simulator.provider.script import Coding


class Encoder(Protocol):
    """Encodes a stream piece by piece."""

    def push(self, data: bytes) -> bytes:
        """The bytes from which a reader can decode everything pushed so far."""

    def end(self) -> bytes:
        """The bytes that close the stream."""


class _Identity:
    def push(self, data: bytes) -> bytes:
        return data

    def end(self) -> bytes:
        return b""


class _Zlib:
    """gzip, or deflate in the zlib wrapper that the standard means by it."""

    def __init__(self, wbits: int) -> None:
        self._compressor = zlib.compressobj(wbits=wbits)

    def push(self, data: bytes) -> bytes:
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._compressor.flush()


class _Brotli:
    def __init__(self) -> None:
        self._compressor: Any = _library("brotli").Compressor()

    def push(self, data: bytes) -> bytes:
        return bytes(self._compressor.process(data) + self._compressor.flush())

    def end(self) -> bytes:
        return bytes(self._compressor.finish())


class _Zstd:
    def __init__(self) -> None:
        library = _library("zstandard")
        self._compressor: Any = library.ZstdCompressor().compressobj()
        self._flush_block: int = library.COMPRESSOBJ_FLUSH_BLOCK

    def push(self, data: bytes) -> bytes:
        return bytes(self._compressor.compress(data) + self._compressor.flush(self._flush_block))

    def end(self) -> bytes:
        return bytes(self._compressor.flush())


def encoder(coding: Coding) -> Encoder:
    """A fresh encoder.

    Raises: CodingError where the coding's library is not installed.
    """
    match coding:
        case "gzip":
            return _Zlib(31)
        case "deflate":
            return _Zlib(15)
        case "br":
            return _Brotli()
        case "zstd":
            return _Zstd()
        case "identity":
            return _Identity()


def encode(coding: Coding, data: bytes) -> bytes:
    if coding == "identity":
        return data
    stream = encoder(coding)
    return stream.push(data) + stream.end()


def decode(coding: str, data: bytes) -> bytes:
    """A whole body out of its content coding.

    Raises: CodingError for an unknown coding and for broken bytes.
    """
    try:
        match coding.lower():
            case "" | "identity":
                return data
            case "gzip":
                return zlib.decompress(data, wbits=31)
            case "deflate":
                return zlib.decompress(data)
            case "br":
                return bytes(_library("brotli").decompress(data))
            case "zstd":
                return bytes(_library("zstandard").ZstdDecompressor().decompressobj().decompress(data))
    except CodingError:
        raise
    except Exception as error:  # brotli and zstandard raise classes of their own
        raise CodingError(f"the body is not valid {coding}: {error}") from error
    raise CodingError(f"content coding {coding!r} is not known")


def _library(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise CodingError(f"this content coding needs a library: pip install {name}") from error
