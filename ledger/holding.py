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
"""The bytes of a SQLite file that stand for its shared lock; they lie beyond what is ever stored."""

_SET_LOCK = getattr(fcntl, "F_OFD_SETLK", None)
"""A lock of the open file, and not of the process: SQLite's own locks are of the process. Only Linux has it.
Elsewhere a -wal may appear if the owner closes its store in the instant between our look and SQLite's."""


class Holding:
    """An open SQLite file, in WAL mode with a share in its lock."""

    def __init__(self, path: Path, patience_seconds: float) -> None:
        """
        Args:
            patience_seconds: how long to wait for an owner that has it to itself, as while it closes.
        Raises: OSError, and sqlite3.OperationalError where the owner does not let go.
        """
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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

    def _share(self, set_lock: int, deadline: float) -> None:
        wanted = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, _SHARED_FIRST, _SHARED_SIZE, 0)
        while True:
            try:
                fcntl.fcntl(self._file, set_lock, wanted)
                return
            except BlockingIOError as error:
                if monotonic() >= deadline:
                    raise sqlite3.OperationalError("database is locked") from error
                sleep(0.005)
