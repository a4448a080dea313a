"""`python -m tests.support.zygote FD`: a Python that has imported the libraries, and forks a program for each
line that it is sent. What it forks is a child of whoever asked, and imports our own code by itself.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import runpy
import socket
import sys
import time
from pathlib import Path
from typing import Any

LIBRARIES = (
    "aiohttp.web",
    "alembic.command",
    "argparse",
    "asyncio",
    "http.client",
    "jinja2",
    "markdown_it",
    "msgspec",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "rich.console",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "sqlite3",
    "tomllib",
    "urllib.request",
    "uvloop",
    "zoneinfo",
    "zstandard",
)
MAX_BYTES = 1 << 20


def serve(line: socket.socket) -> Any:
    """Start what is asked for until the other end closes.

    Returns: what is to be run, in a new process; None at the end.
    """
    while True:
        asked, files, _, _ = socket.recv_fds(line, MAX_BYTES, 3)
        if not asked:
            return None
        between = os.fork()
        if not between:
            between, child = os.getpid(), os.fork()
            if child:  # its end makes the child one of whoever asked, who adopts orphans
                line.send(str(child).encode())
                os._exit(0)
            line.close()
            while os.getppid() == between:
                time.sleep(0.0002)
            return json.loads(asked), files
        for file in files:
            os.close(file)
        os.waitpid(between, 0)
        line.send(b"ended")


def become(asked: dict[str, Any], files: list[int]) -> None:
    """Make this process what a fresh one is that `python -m` starts."""
    if asked["session"]:
        os.setsid()
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    time.tzset()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), "utf-8")
    sys.stdout = _writing(1, "strict", by_line=os.isatty(1))
    sys.stderr = _writing(2, "backslashreplace", by_line=True)
    added = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:1] = [str(Path.cwd()), *added]
    sys.argv = ["-m", *asked["words"]]


def _writing(number: int, errors: str, *, by_line: bool) -> io.TextIOWrapper:
    raw = io.BufferedWriter(io.FileIO(number, "w", closefd=False))
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    return io.TextIOWrapper(raw, "utf-8", errors=errors, line_buffering=by_line, write_through=at_once)


if __name__ == "__main__":
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    if found := serve(socket.socket(fileno=int(sys.argv[1]))):
        become(*found)
        runpy.run_module(found[0]["module"], run_name="__main__", alter_sys=True)
