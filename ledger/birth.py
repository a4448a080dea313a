"""When a file was made. A file that is removed and made anew often gets the number of the old one, so its
number alone does not tell the two apart; Python does not ask Linux for more."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

_HERE = -100
"""Paths are relative to the working directory (AT_FDCWD)."""

_BIRTH = 0x800
"""The part of the answer that is asked for (STATX_BTIME)."""

_ANSWER_BYTES = 256
_TIME_AT = 80
"""Where `struct statx` has the time: seconds, 8 bytes, and nanoseconds, 4 bytes."""

_statx = getattr(ctypes.CDLL(None, use_errno=True), "statx", None)


def born(path: Path, found: os.stat_result) -> int | float | None:
    """When a file was made; None where the system or the file system does not say.

    Args:
        found: what `stat` says of it; on macOS and BSD it has the time.
    """
    if _statx is None:
        return getattr(found, "st_birthtime", None)
    answer = ctypes.create_string_buffer(_ANSWER_BYTES)
    if _statx(_HERE, os.fsencode(path), 0, _BIRTH, answer) != 0:
        return None
    (known,) = struct.unpack_from("I", answer)
    seconds, nanoseconds = struct.unpack_from("qI", answer, _TIME_AT)
    return int(seconds) * 1_000_000_000 + int(nanoseconds) if known & _BIRTH else None
