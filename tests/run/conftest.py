"""Real child processes that are small: a server that notes when it starts and ends."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from run.program import Program

SERVER = """
import http.server, signal, sys, threading, time

name, port, journal, delay = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])

def note(what):
    with open(journal, "a") as file:
        file.write(f"{name} {what}\\n")

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass

def stop(*_):
    note("ends")
    threading.Thread(target=server.shutdown).start()

time.sleep(delay)
signal.signal(signal.SIGTERM, stop)
server = http.server.HTTPServer(("127.0.0.1", port), Handler)
note("is up")
server.serve_forever()
"""


@pytest.fixture
def environ() -> MappingProxyType[str, str]:
    return MappingProxyType({"PATH": os.environ["PATH"]})


@dataclass(frozen=True, slots=True)
class Journal:
    """The file in which programs note that they are up and that they end."""

    path: Path

    def lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []

    async def until(self, line: str) -> None:
        """Wait until a line is there."""
        async with asyncio.timeout(30):
            while line not in self.lines():  # noqa: ASYNC110
                await asyncio.sleep(0.02)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def server(free_port: Callable[[], int], journal: Journal) -> Callable[..., Program]:
    """Makes a program that answers 200 after `delay` seconds and ends on SIGTERM."""

    def make(name: str, delay: float = 0.0) -> Program:
        port = free_port()
        argv = (sys.executable, "-c", SERVER, name, str(port), str(journal.path), str(delay))
        return Program(name, argv, ready_url=f"http://127.0.0.1:{port}/")

    return make


@pytest.fixture
def script() -> Callable[..., Program]:
    """Makes a program from Python source."""

    def make(name: str, source: str, *words: str, log: Path | None = None) -> Program:
        return Program(name, (sys.executable, "-c", source, *words), log=log)

    return make
