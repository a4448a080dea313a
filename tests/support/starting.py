"""Programs of ours start from a Python that has imported their libraries: that takes most of a start.

`subprocess.Popen` stays what it is, and so do asyncio's processes; only the moment between fork and our own
code is another. A start that asks for more than a plain `python -m ROOM` is left to the operating system.
"""

from __future__ import annotations

import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ROOMS = frozenset(("collector", "console", "exporter", "ledger", "proxy", "run", "runbooks", "simulator"))
_ADOPTS_ORPHANS = 36
_PLAIN: dict[str, object] = {
    "preexec_fn": None,
    "pass_fds": (),
    "shell": False,
    "gid": None,
    "gids": None,
    "uid": None,
    "umask": -1,
    "process_group": -1,
}
_HARMLESS = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "LC_CTYPE"}
"""Variables for Python itself that are taken over, or change nothing here."""


class Zygote:
    """The process that the programs are forked from; it starts with the first of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    def start(self, asked: Mapping[str, Any], files: list[int]) -> int:
        """Start a program; its process id."""
        with self._lock:
            line = self._line or self._begin()
            socket.send_fds(line, [json.dumps(asked).encode()], files)
            child = int(line.recv(100))
            line.recv(100)  # it is ours now
            return child

    def _begin(self) -> socket.socket:
        ctypes.CDLL(None).prctl(_ADOPTS_ORPHANS, 1)
        self._line, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.zygote", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                cwd=ROOT,
                env={**environ, "LANG": "C.UTF-8"},
            )
        return self._line

    def close(self) -> None:
        """End it."""
        if self._line is not None and self._process is not None:
            self._line.close()
            self._process.wait(timeout=60)


@contextmanager
def preloaded() -> Iterator[None]:
    """While it lasts, programs of ours are forked from a Zygote; on Linux, where orphans can be adopted."""
    if sys.platform != "linux":
        yield
        return
    zygote, plain = Zygote(), subprocess.Popen._execute_child  # type: ignore[attr-defined]
    signature = inspect.signature(plain)

    def execute(self: Any, *values: Any, **named: Any) -> None:
        given = signature.bind(self, *values, **named).arguments
        if not _is_plain(given):
            plain(self, *values, **named)
            return
        files = [given["p2cread"], given["c2pwrite"], given["errwrite"]]
        files = [number if file == -1 else file for number, file in enumerate(files)]
        try:
            self.pid = zygote.start(_asked(given), files)
            self._child_created = True
        finally:
            ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
            self._close_pipe_fds(*(given[end] for end in ends))

    subprocess.Popen._execute_child = execute  # type: ignore[attr-defined]
    try:
        yield
    finally:
        subprocess.Popen._execute_child = plain  # type: ignore[attr-defined]
        zygote.close()


def _is_plain(given: Mapping[str, Any]) -> bool:
    words = given["args"]
    if not isinstance(words, list | tuple) or words[:2] != type(words)((sys.executable, "-m")):
        return False
    environ = os.environ if given["env"] is None else given["env"]
    own = {name for name in environ if name.startswith(("PYTHON", "LC_", "COV_", "PROMETHEUS_"))} - _HARMLESS
    return (
        len(words) > 2
        and str(words[2]) in ROOMS
        and not own
        and {environ.get("LANG", "C.UTF-8"), environ.get("LC_CTYPE", "C.UTF-8")} == {"C.UTF-8"}
        and all(given.get(name, value) == value for name, value in _PLAIN.items())
    )


def _asked(given: Mapping[str, Any]) -> dict[str, Any]:
    module, *words = map(os.fsdecode, given["args"][2:])
    environ = os.environ if given["env"] is None else given["env"]
    return {
        "module": module,
        "words": words,
        "folder": os.fsdecode(given["cwd"] or Path.cwd()),
        "environ": {os.fsdecode(name): os.fsdecode(value) for name, value in environ.items()},
        "session": given["start_new_session"],
    }
