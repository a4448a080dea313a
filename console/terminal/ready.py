"""`--stay`: a command that is given again and again is answered by the process that answered it before.

To import what reads a ledger takes Python a quarter of a second; to ask it, some milliseconds. So where its
user asks for it, a process that has answered the same command twice stays for a while, and listens on a
socket that this user alone can reach. Whatever it cannot answer as it did before, the next process answers by
itself.
"""

from __future__ import annotations

import gc
import os
import socket
import stat
import sys
import time
from binascii import crc32
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

WAIT_SECONDS = 15.0
"""How long an answer may take; then a command answers by itself."""

WAITING = 8
"""Questions at once that find a place."""

CHECK_SECONDS = 2.0
"""How long whoever connects may take to say what is asked."""

_OF_ENVIRONMENT = ("CODEX_", "LANG", "LC_", "NO_COLOR", "PG", "PYTHON", "TZ")
"""Beginnings of the names of variables that an answer may depend on."""

Answer = tuple[int, str]
"""An exit code and a text."""


def asked(arguments: Sequence[str], environ: Mapping[str, str]) -> Answer | None:
    """What a process says that has stayed; None where there is none, or none that knows."""
    with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as connection:
        question = _question(arguments, environ)
        connection.settimeout(WAIT_SECONDS)
        connection.connect(_place(question, _folder(environ)))
        connection.sendall(question)
        connection.shutdown(socket.SHUT_WR)
        code, mark, text = _received(connection).decode().partition(" ")
        if mark and text.endswith("\n"):  # whole
            return int(code), text[:-1]
    return None


def stay(
    arguments: Sequence[str],
    environ: Mapping[str, str],
    seconds: float,
    answer: Callable[[], Answer | None],
    state: Callable[[], object],
) -> None:
    """Leave a process behind that answers this command, where it was given before in as many seconds.

    Args:
        seconds: how long it stays after the last question.
        answer: None where something is unusual; then it ends, too.
        state: what answers depend on beside the ledger's content; when that has changed after an answer was
            found, it says nothing and ends.
    """
    with suppress(OSError):
        question = _question(arguments, environ)
        place = _place(question, _folder(environ, make=True))
        if _came_before(place, seconds):
            before, listener = state(), _listening(place)

            def still() -> Answer | None:
                found = answer()
                return found if state() == before else None

            if os.fork() == 0:
                _serve(listener, place, question, seconds, still)
            listener.close()


def _serve(
    listener: socket.socket,
    place: str,
    question: bytes,
    seconds: float,
    answer: Callable[[], Answer | None],
) -> NoReturn:
    """Until nobody asks any more. It holds nothing of the process that it was: no terminal, no pipe."""
    try:
        _let_go(listener)
        listener.listen(WAITING)  # again: who connects learns the number of this process
        gc.enable()
        ours = os.stat(place).st_ino
        listener.settimeout(seconds)
        while connection := _asked_for(listener, question):
            with connection, suppress(TimeoutError, ConnectionError):
                found = answer()
                if found is None:
                    break
                connection.sendall(f"{found[0]} {found[1]}\n".encode())
    except TimeoutError:
        if os.stat(place).st_ino == ours:
            os.unlink(place)
    finally:
        os._exit(0)


def _asked_for(listener: socket.socket, question: bytes) -> socket.socket:
    """The next one that asks this question. Raises: TimeoutError where nobody does any more."""
    while True:
        connection, _ = listener.accept()
        with suppress(TimeoutError, ConnectionError):
            connection.settimeout(CHECK_SECONDS)
            if _received(connection) == question:
                return connection
        connection.close()


def _let_go(listener: socket.socket) -> None:
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    for descriptor in map(int, os.listdir("/dev/fd")):
        if descriptor > 2 and descriptor != listener.fileno():
            with suppress(OSError):  # that of the list itself
                os.close(descriptor)


def _listening(place: str) -> socket.socket:
    unfinished = f"{place}.{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(unfinished)
        listener.listen(WAITING)
        os.replace(unfinished, place)
    except OSError:
        listener.close()
        raise
    return listener


def _received(connection: socket.socket) -> bytes:
    found = b""
    while some := connection.recv(65_536):
        found += some
    return found


def _came_before(place: str, seconds: float) -> bool:
    """Whether the same question came some time ago; notes that it has come now."""
    now = time.time()
    with suppress(OSError):
        if now - os.stat(place).st_mtime < seconds:
            return True
        os.unlink(place)
    with suppress(OSError):
        os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return False


def _question(arguments: Sequence[str], environ: Mapping[str, str]) -> bytes:
    """All that an answer depends on beside files. Raises: OSError where there is no working directory."""
    of_environment = sorted(item for item in environ.items() if item[0].startswith(_OF_ENVIRONMENT))
    program = (sys.executable, __file__, getattr(sys.stdout, "encoding", None))
    return repr((list(arguments), os.getcwd(), program, of_environment)).encode(errors="surrogateescape")


def _place(question: bytes, folder: str) -> str:
    return f"{folder}/status-{crc32(question):08x}"


def _folder(environ: Mapping[str, str], *, make: bool = False) -> str:
    """One that this user alone can look into. Raises: OSError."""
    given = environ.get("XDG_RUNTIME_DIR")
    folder = f"{given}/quotascope" if given else f"/tmp/quotascope-{os.getuid()}"  # noqa: S108
    if make:
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not of this user alone")
    return folder
