"""What is read of a request's body, bounded: few members, each of them small; the rest is skipped unbuilt.

A member that is decoded as whatever it is costs what its sender likes: 15 KB of gzip can hold five million
objects. So larger documents are cut down to a brief one first, from raw slices.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

SMALL = 4 * 1024
"""Bytes of a document that is brief as it is."""

MAX_MEMBER = 16 * 1024
"""Bytes of a member that is read; longer ones are taken for absent."""

MAX_TEXT = 64 * 1024
"""The same for the text of a request."""

AT_ONCE = 128 * 1024
"""Bytes that are read in the loop, as that takes less than a millisecond; more are read in a thread."""

LONG = 2 * 2**20
"""Bytes of a document that are decoded at once beside the loop: threads take turns, but not within that."""

LONG_TEXT = 256
"""Bytes of a text that is emptied in longer ones; nothing that is read is as long there."""

MAX_QUOTES = 1_000_000
MAX_ESCAPES = 4_096
_BACKSLASH = ord("\\")
_READERS = ThreadPoolExecutor(2, "body-reader")
"""Few: what they read is bounded, and callers of small requests must not wait for the loop."""

_ABSENT = msgspec.Raw(b"")
_LONG = frozenset({"input"})
_SOME_OBJECT = b'{"":0}'
_NAMES = (
    *("model", "stream", "stream_options", "service_tier", "speed", "reasoning", "reasoning_effort"),
    *("prompt_cache_key", "type", "input", "response", "n", "best_of", "max_tokens", "max_completion_tokens"),
    *("max_output_tokens", "previous_response_id", "conversation", "prompt"),
)
_Members = msgspec.defstruct("_Members", [(name, msgspec.Raw, _ABSENT) for name in _NAMES])
_documents = msgspec.json.Decoder(_Members)

Result = TypeVar("Result")


def brief(document: bytes, *, nested: bool = False) -> bytes:
    """A JSON object with the members alone that say what a request asks for; of one that is too long it says
    no more than that it is an object, and of a `response` what that asks for.

    Raises: msgspec.DecodeError, RecursionError for what is no JSON object.
    """
    if len(document) <= SMALL:
        return document
    found = _documents.decode(document)
    kept = ((name, bytes(raw)) for name in _NAMES if (raw := getattr(found, name)))
    short = ((name, _short(name, raw, nested)) for name, raw in kept)
    return b"{" + b",".join(b'"%b":%b' % (name.encode(), raw) for name, raw in short if raw) + b"}"


def _short(name: str, raw: bytes, nested: bool) -> bytes:
    if len(raw) <= (MAX_TEXT if name in _LONG else MAX_MEMBER):
        return raw
    if not raw.startswith(b"{"):
        return b""
    return brief(raw, nested=True) if name == "response" and not nested else _SOME_OBJECT


def outline(document: bytes) -> bytes:
    """A long document with its longer texts emptied, so that it is decoded in no time; nothing where it is
    long for other reasons. It is slower than to decode it, but lets the loop run meanwhile: for threads.
    """
    if len(document) <= LONG:
        return document
    parts, size, done, begin, at = [], 0, 0, -1, 0
    for _ in range(MAX_QUOTES):
        quote = document.find(b'"', at)
        if quote < 0:
            parts.append(document[done:])
            return b"".join(parts) if size + len(parts[-1]) <= LONG else b""
        at = quote + 1
        if begin < 0:
            begin = quote
        elif document[quote - 1] != _BACKSLASH or not _is_escaped(
            document[max(0, quote - MAX_ESCAPES) : quote]
        ):
            if quote - begin > LONG_TEXT:
                parts.append(document[done : begin + 1])
                size, done = size + len(parts[-1]), quote
            begin = -1
        if size > LONG:
            return b""
    return b""


def _is_escaped(before: bytes) -> bool:
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 1


async def aside(size: int, read: Callable[[], Result], *, is_packed: bool = False) -> Result:
    """What `read` finds in a body: in the loop where that is little work, else in a thread.

    Args:
        size: of the body, in bytes.
        is_packed: it may hold many more than that.
    """
    if size <= AT_ONCE and not is_packed:
        return read()
    return await asyncio.get_running_loop().run_in_executor(_READERS, read)
