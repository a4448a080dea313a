"""The programs under test: started, watched through /proc, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Program:
    """A running program that listens on `port`; figures are of it and its children."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        total = 0
        for pid in self._pids():
            with suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / TICKS

    def rss_mib(self) -> float:
        """Resident memory now."""
        total = 0
        for pid in self._pids():
            with suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("VmRSS"):
                        total += int(line.split()[1])
        return total / 1024

    def move_children(self, cpu: int) -> None:
        """Let the processes that it started run on another core."""
        for pid in self._pids()[1:]:
            os.sched_setaffinity(pid, {cpu})

    def end(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _pids(self) -> list[int]:
        found = [self.process.pid]
        for pid in found:
            with suppress(OSError):
                for task in Path(f"/proc/{pid}/task").glob("*/children"):  # any thread may have started it
                    found += [int(child) for child in task.read_text().split()]
        return found


def start(
    name: str,
    command: Sequence[str],
    port: int,
    *,
    env: Mapping[str, str] | None = None,
    cpu: int | None = None,
    cwd: Path | None = None,
) -> Program:
    """Start a program and wait until it listens. Its output goes nowhere.

    Raises: RuntimeError when it does not listen within 60 s.
    """
    prefix = ["taskset", "-c", str(cpu)] if cpu is not None else []
    process = subprocess.Popen(
        [*prefix, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), **(env or {})},
        cwd=cwd,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return Program(name, port, process)
        time.sleep(0.05)
    process.kill()
    raise RuntimeError(f"{name} does not listen on port {port}: {' '.join(command)}")


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
