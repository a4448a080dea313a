"""The `auth.json` of a Codex login as a file that others use too: how it is locked and written back."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.errors import TokenUnavailable

LOCK_SECONDS = 45.0
"""How long another process may take; its question to the token URL ends after 30 s."""

_LOOK_SECONDS = 0.05

_IN_PLACE = frozenset({errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS})
"""Why a file may not be replaced and be written all the same: it is mounted by itself, or its folder or
its owner is not ours."""


@asynccontextmanager
async def locked(account_id: str, path: Path) -> AsyncIterator[None]:
    """A time in which no other process spends the refresh token that the file holds.

    Raises: TokenUnavailable when another one takes too long.
    """
    lock = await asyncio.to_thread(_open, path)
    try:
        deadline = asyncio.get_running_loop().time() + LOCK_SECONDS
        while lock is not None and not _taken(lock):
            if asyncio.get_running_loop().time() >= deadline:
                raise TokenUnavailable(account_id, 0, f"another process holds the lock of {path}")
            await asyncio.sleep(_LOOK_SECONDS)
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _open(path: Path) -> int | None:
    """The file beside it that is locked; None where none can be made."""
    try:
        return os.open(path.resolve().with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: nobody can be kept out
        return True
    return True


def keep(path: Path, text: str) -> None:
    """Rewrite a file, on the disk when this returns, with the owner and the mode that it has.

    It is replaced whole, and written in place where that cannot be. Raises: OSError.
    """
    path, data = path.resolve(), text.encode()
    try:
        _replace(path, data)
    except OSError as error:
        if error.errno not in _IN_PLACE:
            raise
        _overwrite(path, data)


def _replace(path: Path, data: bytes) -> None:
    old, fresh = path.stat(), path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)  # left over by a process that was killed
    try:
        with open(fresh, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            os.fchown(file.fileno(), old.st_uid, old.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
            _store(file.fileno(), data)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _overwrite(path: Path, data: bytes) -> None:
    """The old text goes only when the new one is stored: a full disk must not cost both."""
    file = os.open(path, os.O_WRONLY)
    try:
        _store(file, data)
        os.ftruncate(file, len(data))
        os.fsync(file)
    finally:
        os.close(file)


def _store(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
    os.fsync(file)


def _sync_folder(folder: Path) -> None:
    """The new name is on the disk only when its folder is."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def unwritable(path: Path) -> str | None:
    """Why `keep` would fail; None where it would not."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        folder = path.resolve().parent
        if error.errno == errno.EACCES and os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
            return None  # nothing but its mode is against it, and it is replaced
        return error.strerror
    return None
