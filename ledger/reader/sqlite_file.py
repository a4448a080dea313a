"""A SQLite file as it lies there, and how it may be opened without leaving a trace."""

from __future__ import annotations

import stat
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from ledger.errors import StoreError
from ledger.identity import of_file

ROLLBACK = "mode=ro"
BESIDE_ITS_OWNER = "mode=ro&readonly_shm=1"
IMMUTABLE = "mode=ro&immutable=1"


@dataclass(frozen=True, slots=True)
class Look:
    """A file as it lies there: equal looks mean that nothing was written in between.

    Attributes:
        identity: another one where the file was replaced, even by one that got its number.
        wal_bytes: the size of the -wal; None where there is none.
    """

    identity: Hashable
    size: int
    modified_ns: int
    wal_bytes: int | None
    shm: bool


def look(path: Path) -> Look:
    """Look at a file and at what lies beside it.

    Args:
        path: the file itself and no link to it: SQLite looks beside the file.
    Raises: OSError where there is none, or something that is no file: to open a pipe would wait for ever.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError("it is not a regular file")
    wal, shm = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    return Look(of_file(path, found), found.st_size, found.st_mtime_ns, _size(wal), shm.exists())


def options(look: Look, in_wal_mode: bool) -> str:
    """How SQLite is to open the file. Raises: StoreError where it would have to make a file."""
    if not in_wal_mode:
        return ROLLBACK
    if look.wal_bytes is not None and look.shm:
        return BESIDE_ITS_OWNER
    if look.wal_bytes:
        raise StoreError(
            "a -wal lies beside the store without its -shm, and reading it would create one; "
            "start the program that the store belongs to once"
        )
    return IMMUTABLE


def spoilt(options: str, before: Look, after: Look) -> bool:
    """Whether what was read in between may be a mixture."""
    return before != after if options == IMMUTABLE else before.identity != after.identity


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
