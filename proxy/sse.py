"""Server-sent events beside a stream: raw chunks in, whole events out, nothing else touched.

Chunks may be cut anywhere, also within a character or a line ending; lines may end in LF, CRLF or CR.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_BLANK = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")


class EventBuffer:
    """Collects chunks until events are complete.

    Args:
        most_bytes: an event that grows beyond this is given up and counted in `oversized`; bytes that
            follow it are read again from the next blank line on.
    """

    def __init__(self, most_bytes: int) -> None:
        self._rest = b""
        self._parts: list[bytes] = []
        self._size = 0
        self._most = most_bytes
        self._skipping = False
        self.oversized = 0

    def feed(self, chunk: bytes) -> bytes:
        """Whole events that this chunk completes, as one block of bytes; empty when it completes none."""
        # A blank line may be cut between chunks: look at it together with the last bytes before it.
        edge = self._rest[-3:] + chunk
        if b"\n\n" not in edge and (b"\r" not in edge or not _BLANK.search(edge)):
            self._keep(chunk)
            return b""
        self._parts.append(chunk)
        data = b"".join(self._parts)
        cut = _last_blank(data)
        block, rest = data[:cut], data[cut:]
        if self._skipping:
            block = block[_first_blank(block) :]
            self._skipping = False
        self._parts, self._size, self._rest = [rest], len(rest), rest
        return block

    def end(self) -> bytes:
        """What is left when the stream ends: an event without its closing blank line."""
        return b"" if self._skipping else b"".join(self._parts)

    def _keep(self, chunk: bytes) -> None:
        self._parts.append(chunk)
        self._size += len(chunk)
        self._rest = (self._rest[-3:] + chunk)[-3:]
        if self._size > self._most:
            self.oversized += not self._skipping
            self._skipping = True
            self._parts, self._size = [self._rest], len(self._rest)


def events(block: bytes) -> Iterator[bytes]:
    """The data of each event of a block: its `data:` lines, joined by newlines."""
    for event in _BLANK.split(block) if b"\r" in block else block.split(b"\n\n"):
        lines = _LINE.split(event) if b"\r" in event else event.split(b"\n")
        data = [line[6:] if line[5:6] == b" " else line[5:] for line in lines if line.startswith(b"data:")]
        if data:
            yield data[0] if len(data) == 1 else b"\n".join(data)


def _last_blank(data: bytes) -> int:
    """Where the last complete event ends."""
    if b"\r" not in data:
        return data.rfind(b"\n\n") + 2
    end = 0
    for match in _BLANK.finditer(data):
        end = match.end()
    return end


def _first_blank(data: bytes) -> int:
    match = _BLANK.search(data)
    return match.end() if match else len(data)
