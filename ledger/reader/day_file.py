"""Days as arrays in a folder beside the ledger, `usage.db.sums`: a process that starts need not read again
what an earlier one has. Of a ledger on a server it lies where a file would, on this machine. Each file is
mapped into memory: only what a question looks at is read. Nothing is only there; it may be removed at any
time, and a fault in it costs time alone.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import stat
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from threading import Lock

import numpy as np
from sqlalchemy import URL, Engine, text

from ledger.errors import StoreError
from ledger.identity import of_file
from ledger.requests.days.arrays import Day, Grain
from ledger.requests.days.kept_days import What
from ledger.store import create_private, translated

log = logging.getLogger("quotascope.ledger")

VERSION = 3
"""Of the form of these files; those of another version are not believed."""

MAX_SHARE, MIN_BYTES = 0.5, 16_000_000
"""Of the ledger's size, and what is allowed beside the smallest one; rows of the oldest days go first."""

ALMOST = 0.95
"""Of the room: another day's rows would not fit."""

SUFFIX = ".sums"
_ALIGNED, _HEAD = 64, 12
_PART = ".part"


_SERVER = text(
    "SELECT (SELECT system_identifier::text FROM pg_control_system()), oid::text,"
    " pg_relation_filenode('request_rows')::text, pg_database_size(oid)"
    " FROM pg_database WHERE datname = current_database()"
)

Origin = tuple[list[object], int]
"""What tells a ledger from every other one, also from what stood in its place before; and its bytes."""


class DayFile:
    """Of one ledger. Every method does without the files where they cannot be used.

    Args:
        beside: the SQLite ledger; of one on a server, the file that it would be on this machine.
        writes: the monitoring page does, and who reads days ahead for it.
    """

    def __init__(self, beside: Path, origin: Callable[[], Origin], *, writes: bool) -> None:
        self._origin, self.writes = origin, writes
        self._folder = beside.with_name(beside.name + SUFFIX)
        self._lock = Lock()
        self._said = False
        self.is_full = False

    def get(self, what: What, day: int, stamp: int, grain: Grain) -> Day | None:
        """A day as it was stored, where its stamp and its ledger are still the same."""
        try:
            return unpacked(self._path(what, day, grain), self._told(stamp))
        except (OSError, ValueError, KeyError, TypeError):  # there is none yet, or it is of something else
            return None

    def put(self, what: What, day: int, stamp: int, grain: Grain, content: Day) -> None:
        """Store a day that was read after its stamp."""
        if not self.writes:
            return
        try:
            with self._lock:
                self._prepare()
                self._write(self._path(what, day, grain), packed(content, self._told(stamp)))
                self._trim()
        except OSError as error:
            if not self._said:
                self._said = True
                log.warning("sums are not kept in %s: %s", self._folder, error)

    def _path(self, what: What, day: int, grain: Grain) -> Path:
        return self._folder / f"{day:06d}-{what}-{grain}"

    def _prepare(self) -> None:
        with suppress(FileNotFoundError):
            if stat.S_ISREG(self._folder.lstat().st_mode):  # as it was at first: one file
                self._folder.unlink()
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def _write(self, path: Path, content: bytes) -> None:
        """Whole or not at all: who has the one before it mapped keeps that."""
        part = path.with_name(f"{path.name}.{os.getpid()}.{id(self)}{_PART}")
        part.unlink(missing_ok=True)
        try:
            create_private(part)
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            with suppress(OSError):
                part.unlink()
            raise

    def _trim(self) -> None:
        sizes = {}
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):  # another page writes here, too
                sizes[path.name] = path.stat().st_size
        most, total = max(MIN_BYTES, MAX_SHARE * self._origin()[1]), sum(sizes.values())
        self.is_full = total > ALMOST * most
        for name in sorted(sizes, key=_worth):
            if total <= most:
                return
            with suppress(OSError):
                (self._folder / name).unlink()
                total -= sizes[name]

    def _told(self, stamp: int) -> list[object]:
        return [VERSION, *self._origin()[0], stamp]


def file_of(
    url: URL, writes: bool, *, beside: Path | None = None, engine: Engine | None = None
) -> DayFile | None:
    """That of a ledger; None for one that has no place on this machine.

    Args:
        beside, engine: of one on a server: the file that it would be here, and a reader of it.
    """
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        return None if url.query or not url.database else DayFile(path, partial(_file, path), writes=writes)
    if beside is None or engine is None:
        return None
    try:
        with translated(url, "cannot tell apart"), engine.connect() as connection:
            *names, size = connection.execute(_SERVER).one()
    except StoreError as error:
        _say(str(error))
        return None
    return DayFile(beside, lambda: (names, int(size)), writes=writes)


@cache
def _say(problem: str) -> None:
    log.warning("sums are not kept: %s", problem)


def _file(path: Path) -> Origin:
    found = path.stat()
    return [*of_file(path, found)], found.st_size


def packed(day: Day, told: list[object]) -> bytes:
    """A day as bytes: a head of JSON, its length and checksum before it, then array after array."""
    forms = [(name, some.dtype.str, len(some)) for name, some in day.columns.items()]
    head = json.dumps([told, forms]).encode()
    parts = [len(head).to_bytes(8) + zlib.crc32(head).to_bytes(4) + head]
    for some in day.columns.values():
        parts += [_filling(len(parts[-1])), some.tobytes()]
    return b"".join([*parts, _filling(len(parts[-1]))])


def unpacked(path: Path, told: list[object]) -> Day:
    """A day of its file, mapped. Raises: OSError, ValueError and others where it is not what is wanted."""
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    length, crc = int.from_bytes(content[:8]), int.from_bytes(content[8:_HEAD])
    head = content[_HEAD : _HEAD + length]
    if zlib.crc32(head) != crc:
        raise ValueError("its head is damaged")
    of, forms = json.loads(head)
    if of != told:
        raise ValueError("it is of another ledger, or of another time")
    columns, place = {}, _aligned(_HEAD + length)
    for name, form, number in forms:
        columns[name] = np.frombuffer(content, form, number, place)
        place = _aligned(place + columns[name].nbytes)
    if place != len(content):
        raise ValueError("it is cut")
    return Day(columns, is_mapped=True)


def _worth(name: str) -> tuple[bool, str]:
    """Rows take most of the room, and sums answer more questions; of both the newest days do."""
    return ("-rows-" not in name and "-texts-" not in name, name)


def _aligned(length: int) -> int:
    return -(-length // _ALIGNED) * _ALIGNED


def _filling(length: int) -> bytes:
    return bytes(_aligned(length) - length)
