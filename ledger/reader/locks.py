"""Keeping a WAL file's owner from tidying up while somebody else opens it.

The last one to close a WAL file takes an exclusive lock, and removes its `-wal` and `-shm`. While we have a
share in the lock, they stay where they are, and whoever comes next uses them: nobody waits for us.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import struct
from pathlib import Path
from time import monotonic, sleep

WAL = b"\x02\x02"
"""Bytes 18 and 19 of a SQLite file in WAL mode."""

_SHARED_FIRST, _SHARED_SIZE = 0x4000_0002, 510
"""The bytes of a SQLite file that stand for its shared lock; they lie beyond what is ever stored. We lock
the first of them, which is enough to keep others from having all; a lock on the rest is SQLite's."""

_SET_LOCK, _GET_LOCK = getattr(fcntl, "F_OFD_SETLK", None), getattr(fcntl, "F_OFD_GETLK", None)
"""A lock of the open file, and not of the process: SQLite's own locks are of the process. Only Linux has it.
Elsewhere a -wal may appear if the owner closes its store in the instant between our look and SQLite's."""

_LOCK = "hhqqi4x"
"""struct flock: kind, whence, start, length, process."""


class Holding:
    """An open SQLite file, in WAL mode with a share in its lock."""

    def __init__(self, path: Path, patience_seconds: float) -> None:
        """
        Args:
            path: a regular file.
            patience_seconds: how long to wait for an owner that has it to itself, as while it closes.
        Raises: OSError, and sqlite3.OperationalError where the owner does not let go.
        """
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self.in_wal_mode = os.pread(self._file, 2, 18) == WAL
            if self.in_wal_mode and _SET_LOCK is not None:
                self._share(_SET_LOCK, monotonic() + patience_seconds)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go. All locks of this process on the file go too, SQLite's among them."""
        os.close(self._file)

    def is_open_elsewhere(self) -> bool:
        """Whether another process has the file open in SQLite; False where the system cannot tell."""
        if _GET_LOCK is None:
            return False
        asked = struct.pack(_LOCK, fcntl.F_WRLCK, os.SEEK_SET, _SHARED_FIRST + 1, _SHARED_SIZE - 1, 0)
        (kind, *_) = struct.unpack(_LOCK, fcntl.fcntl(self._file, _GET_LOCK, asked))
        return bool(kind != fcntl.F_UNLCK)

    def _share(self, set_lock: int, deadline: float) -> None:
        wanted = struct.pack(_LOCK, fcntl.F_RDLCK, os.SEEK_SET, _SHARED_FIRST, 1, 0)
        while True:
            try:
                fcntl.fcntl(self._file, set_lock, wanted)
                return
            except BlockingIOError as error:
                if monotonic() >= deadline:
                    raise _locked() from error
                sleep(0.005)


def _locked() -> sqlite3.OperationalError:
    """What SQLite itself raises where it waits in vain."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error
