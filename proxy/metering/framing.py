"""Where the events of a stream begin and end. Lines may end in LF, CRLF or CR. Everything stays bytes: a
character may be cut between blocks."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from proxy.metering.usage import NOTHING, UNREADABLE, Report, read_answer, report_over

BLANK = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
"""What an event ends with."""

_LINE = re.compile(rb"\r\n|\n|\r")

_EDGE = 3
"""Bytes before a chunk that the end of an event may have begun in."""

_BREAKS = (b"\n\n", b"\n\r\n", b"\r\r", b"\n\r")
"""What an event may end with; with a CR in the end, an LF may follow."""

MAX_READ = 64
"""Pieces of one block that are read for what they match. A block may hold a million of them: of more, only
those at its end are read as well."""

END_READ = 16 * 1024
"""Bytes of that end."""


def events(block: bytes) -> Iterator[bytes]:
    """The data of each event of a block: its `data:` lines, joined by newlines.

    The last event need not be closed by a blank line.
    """
    odd = b"\r" in block
    for event in BLANK.split(block) if odd else block.split(b"\n\n"):
        lines = _LINE.split(event) if odd else event.split(b"\n")
        data = [line[6:] if line[5:6] == b" " else line[5:] for line in lines if line.startswith(b"data:")]
        if data:
            yield data[0] if len(data) == 1 else b"\n".join(data)


def with_match(
    block: bytes, pattern: re.Pattern[bytes], at: int = 0, between: bytes = b"\n\n"
) -> Iterator[bytes]:
    """The pieces of a block in which a pattern is found, from a place on; of many the first and the last."""
    read = 0
    while match := pattern.search(block, at):
        start = block.rfind(between, 0, match.start())
        end = block.find(between, match.start())
        at = len(block) if end < 0 else end
        yield block[start + len(between) if start >= 0 else 0 : at]
        if (read := read + 1) == MAX_READ:
            at = max(at, len(block) - END_READ)


def newest_first(block: bytes, between: bytes = b"\n\n") -> Iterator[bytes]:
    """The pieces of a block, from the last one on."""
    end = len(block) - (len(between) if block.endswith(between) else 0)
    while end > 0:
        start = block.rfind(between, 0, end)
        yield block[start + len(between) if start >= 0 else 0 : end]
        end = start


def lines(block: bytes) -> Iterator[bytes]:
    """The lines of a block of newline-delimited JSON."""
    return (line for line in block.split(b"\n") if line.strip())


def after_events(data: bytes) -> int:
    """Where the last whole event ends; 0 where none does."""
    end = data.rfind(b"\n\n")
    if end >= 0:
        return end + 2
    if b"\r" not in data:
        return 0
    return max((at + len(two) for two in _BREAKS if (at := data.rfind(two)) >= 0), default=0)


def with_plain_ends(block: bytes) -> bytes:
    """A block whose lines all end in LF. No JSON has a bare CR inside."""
    return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in block else block


def after_lines(data: bytes) -> int:
    """Where the last whole line ends; 0 where none does."""
    return data.rfind(b"\n") + 1


class Blocks:
    """Cuts chunks into blocks of whole events. A chunk that ends with an event is not copied.

    Args:
        after: where the last whole event of some bytes ends.

    Attributes:
        rest: chunks of the event that is not complete.
        size: its bytes so far.
    """

    __slots__ = ("_after", "_edge", "rest", "size")

    def __init__(self, after: Callable[[bytes], int] = after_events) -> None:
        self._after = after
        self._edge = b""
        self.rest: list[bytes] = []
        self.size = 0

    def feed(self, chunk: bytes) -> bytes:
        """Bytes as they pass. Returns the block that they complete; empty where they complete none."""
        if self.rest:
            seam = self._edge + chunk
            if not self._after(seam):
                self._keep(chunk, seam)
                return b""
            chunk = b"".join((*self.rest, chunk))
            self.clear()
        end = self._after(chunk)
        if end < len(chunk):
            self._keep(chunk[end:], chunk[end:])
        return chunk[:end]

    def clear(self) -> None:
        """Forget the event that is not complete."""
        self.rest, self.size, self._edge = [], 0, b""

    def _keep(self, chunk: bytes, seam: bytes) -> None:
        self.rest.append(chunk)
        self.size += len(chunk)
        self._edge = seam[-_EDGE:]


_PRELUDE, _CHECKSUM = 12, 4
MAX_FRAMES = 16_384
"""Of one chunk; what holds more are no answers of a model."""

MAX_FRAME = 16 * 1024 * 1024 + 512 * 1024
"""Bytes of a frame; what claims to be longer is none."""


class _Payload(msgspec.Struct):
    bytes: Any = None


_payloads = msgspec.json.Decoder(_Payload)


class FrameTap:
    """For AWS' binary event streams (`application/vnd.amazon.eventstream`), as Bedrock writes them.

    A frame is: its length and that of its headers (4 bytes each, big-endian), a checksum of both, the
    headers, the payload, a checksum. A model's own events come inside the payload, as base64 in the member
    `bytes`.
    """

    streams = False  # the end of the last frame is the end of the answer
    first_token_seen = False

    def __init__(self, api: str) -> None:
        self._api = api
        self._rest = bytearray()
        self._readable = True
        self._report = NOTHING
        self.quota_events: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        if not self._readable:
            return
        self._rest += chunk
        for _ in range(MAX_FRAMES):
            if len(self._rest) < _PRELUDE:
                return
            size = int.from_bytes(self._rest[:4], "big")
            headers = int.from_bytes(self._rest[4:8], "big")
            if not _PRELUDE + headers + _CHECKSUM <= size <= MAX_FRAME:
                break
            if len(self._rest) < size:
                return
            self._read(bytes(self._rest[_PRELUDE + headers : size - _CHECKSUM]))
            del self._rest[:size]
        self._readable = False
        self._rest.clear()

    def end(self) -> Report:
        return self._report

    def _read(self, payload: bytes) -> None:
        event = payload
        try:
            inner = _payloads.decode(payload).bytes
            if isinstance(inner, str):
                event = base64.b64decode(inner, validate=True)
        except (*UNREADABLE, binascii.Error, ValueError):
            return
        self.first_token_seen = True
        if b"usage" in event or b"invocationMetrics" in event:
            self._report = report_over(read_answer(event, self._api), self._report)
