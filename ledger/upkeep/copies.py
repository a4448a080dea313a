"""Copies of a SQLite ledger: made while it is written to, checked, and put in its place again.

A copy is made under another name, checked and synced, and gets its own name last: what has that name is
whole, whenever the machine or the program ended.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import quote

from ledger.errors import StoreError, StoreUnavailable
from ledger.state import newer, revisions
from ledger.store import create_private

PAGES_AT_ONCE = 2_560
"""10 MB between two reports."""

WAIT_SECONDS = 5.0
"""How long a lock of others may last that hinders a restore: readers come and go."""

UNFINISHED = ".unfinished"

Progress = Callable[[int, int], None]
"""Is told how many of how many bytes are copied."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that was checked.

    Attributes:
        schema: the version of its schema.
        requests: how many the sums count; None for a schema that had no such sums.
    """

    path: Path
    bytes: int
    schema: str
    requests: int | None


def default_name(ledger: Path, now: datetime) -> Path:
    """Where a copy goes that nobody named: beside the ledger."""
    return ledger.with_name(f"{ledger.name}.backup-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")


def make(ledger: Path, target: Path, progress: Progress = lambda done, of: None) -> Copy:
    """Copy a ledger as it is at one moment. Whoever writes to it goes on.

    Raises: StoreError, where there is such a file already, too little space, or a copy that is not sound.
    """
    if target.exists():
        raise StoreError(f"{target} already exists; choose another name")
    _room(ledger, target)
    unfinished = target.with_name(target.name + UNFINISHED)
    with _translated(f"cannot copy {ledger} to {target}"):
        _remove(unfinished)  # of a copy that was interrupted
        _copy(ledger, unfinished, progress)
        found = checked(unfinished)
        _sync(unfinished)
        os.link(unfinished, target)  # never over a file that came meanwhile
        _remove(unfinished)
        _sync(target.parent)
    return Copy(target, found.bytes, found.schema, found.requests)


def restore(copy: Path, ledger: Path, *, replace: bool, now: datetime) -> tuple[Copy, Path | None]:
    """Put a copy in the place of the ledger; the ledger that was there is kept under another name.

    Returns: what was restored, and where the earlier ledger is now.
    Raises: StoreError where there is a ledger and `replace` was not said, or somebody has it open.
    """
    if ledger.exists() and not replace:
        raise StoreError(f"the ledger {ledger} exists; use --replace, which keeps it under another name")
    found = checked(copy)
    _room(copy, ledger)
    incoming = ledger.with_name(ledger.name + ".restored" + UNFINISHED)
    with _translated(f"cannot restore {copy} to {ledger}"):
        _remove(incoming)
        _copy(copy, incoming, lambda done, of: None)
        checked(incoming)
        _sync(incoming)
        kept = None
        if ledger.exists():
            kept = ledger.with_name(f"{ledger.name}.replaced-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
            with _alone(ledger):
                os.link(ledger, kept)
                incoming.replace(ledger)
        else:
            _beside_nothing(ledger)
            os.link(incoming, ledger)
            _remove(incoming)
        _sync(ledger.parent)
    return Copy(ledger, found.bytes, found.schema, found.requests), kept


def checked(path: Path) -> Copy:
    """A copy's description. Raises: StoreError unless it is a whole ledger that this version can read."""
    if not path.is_file():
        raise StoreError(f"{path}: no such file")
    with _translated(f"{path} is not a backup of a ledger"), closing(_open(path)) as store:
        tables = {name for (name,) in store.execute("SELECT name FROM sqlite_master")}
        if "alembic_version" not in tables:
            raise StoreError(f"{path} is not a backup of a ledger: it has no schema")
        (schema,) = store.execute("SELECT version_num FROM alembic_version").fetchone()
        if schema not in revisions():
            raise newer(str(path), schema)
        problem = store.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if problem != "ok":
            raise StoreError(f"{path} is damaged: {' '.join(problem.split())}")
        requests = None
        if "request_hourly" in tables:
            (requests,) = store.execute("SELECT coalesce(sum(requests), 0) FROM request_hourly").fetchone()
    return Copy(path, path.stat().st_size, schema, requests)


def _copy(source: Path, target: Path, progress: Progress) -> None:
    """One moment's state, in one read transaction: SQLite begins again otherwise whenever somebody writes."""
    create_private(target)
    with closing(_open(source)) as reading, closing(sqlite3.connect(target)) as writing:
        size = reading.execute("PRAGMA page_size").fetchone()[0]
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sqlite_master").fetchone()

        def report(_: int, left: int, pages: int) -> None:
            progress((pages - left) * size, pages * size)

        reading.backup(writing, pages=PAGES_AT_ONCE, progress=report, sleep=0)
        writing.execute("PRAGMA journal_mode=DELETE")  # the copy is one file


@contextmanager
def _alone(ledger: Path) -> Iterator[None]:
    """Nobody else has the ledger open: leaving WAL mode is allowed to the last one alone. Its file is
    complete then, and whoever opens it before the block ends has to wait.

    Raises: StoreUnavailable.
    """
    with closing(sqlite3.connect(ledger, timeout=0.2, isolation_level=None)) as store:
        deadline = monotonic() + WAIT_SECONDS
        while True:
            with suppress(sqlite3.OperationalError):
                store.execute("PRAGMA journal_mode=DELETE")
                store.execute("BEGIN EXCLUSIVE")
                if store.execute("PRAGMA journal_mode").fetchone()[0] == "delete":
                    break
                store.execute("ROLLBACK")  # somebody came in between
            if monotonic() >= deadline:
                raise StoreUnavailable(
                    f"the ledger {ledger} is in use: stop the proxy and whatever else uses it first"
                )
            sleep(0.05)
        yield


def _beside_nothing(ledger: Path) -> None:
    """What lies beside a ledger that is gone would be taken for a part of the new one."""
    for suffix in ("-wal", "-shm", "-journal"):
        beside = ledger.with_name(ledger.name + suffix)
        if beside.exists():
            raise StoreError(f"{beside} belongs to a ledger that no longer exists; move it away first")


def _room(source: Path, target: Path) -> None:
    wanted, free = source.stat().st_size, free_bytes(target)
    if free < wanted:
        raise StoreError(f"{target} needs {wanted} bytes, only {free} are free")


def free_bytes(target: Path) -> int:
    """The free space where a file is to be. Raises: StoreError where there is no such folder."""
    try:
        return shutil.disk_usage(target.absolute().parent).free
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror}") from error


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, isolation_level=None)


def _remove(path: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{doing}: {error}") from error
