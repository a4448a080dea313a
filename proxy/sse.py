"""Server-sent events: a block of bytes in, the data of its events out. Pure.

Lines may end in LF, CRLF or CR. Everything stays bytes: a character may be cut between blocks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_BLANK = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")


def events(block: bytes) -> Iterator[bytes]:
    """The data of each event of a block: its `data:` lines, joined by newlines.

    The last event need not be closed by a blank line.
    """
    odd = b"\r" in block
    for event in _BLANK.split(block) if odd else block.split(b"\n\n"):
        lines = _LINE.split(event) if odd else event.split(b"\n")
        data = [line[6:] if line[5:6] == b" " else line[5:] for line in lines if line.startswith(b"data:")]
        if data:
            yield data[0] if len(data) == 1 else b"\n".join(data)
