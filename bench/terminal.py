"""What a status line costs beside Python's own start, and a screen that follows beside a proxy that writes
500 requests a second."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median, quantiles
from typing import Any

import aiohttp

from bench.scenes import ledger_rows
from bench.scenes.processes import Program, free_port, python, start

RUNS = 20
A_SECOND, SECONDS = 500, 20
WATCHED = 25
"""Answers of one `--watch`."""

STATUS = ("-m", "console", "status")
COMMANDS: dict[str, Sequence[str]] = {
    "`python -c pass`": ("-c", "pass"),
    "`python -c 'import sqlalchemy, pydantic'`": ("-c", "import sqlalchemy, pydantic.main"),
    **{
        f"`status {' '.join((*shape, *stay))}`": (*STATUS, *shape, *stay)
        for shape in (("--oneline",), ("--format", "{5h_used}"), (), ("--json",))
        for stay in ((), ("--stay", "300"))
    },
}


def measure(ledger: Path | None, rows: int) -> Iterator[tuple[str, str]]:
    """What was measured, and the figure.

    Args:
        ledger: one that is there, which is only read; without one it is made, with so many rows.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = ledger or Path(folder, "usage.db")
        if ledger is None:
            ledger_rows.fill(path, rows, datetime.now(UTC))
        yield from starts(path)
        yield "one more line of `status --oneline --watch`", f"{_watched(path):.0f} ms of CPU"
        alone, _, _ = _loaded(Path(folder, "alone.db"), ())
        yield f"{A_SECOND}/s into a proxy, nobody looks", alone
        found, screen, truth = _loaded(Path(folder, "seen.db"), (("top",), ("status", "--watch", "1")))
        yield "... beside `top` and `status --watch 1`", found
        yield "... of a core for both", f"{screen:.1f} %"
        yield "... in the end, by `status --json`", truth


def starts(path: Path) -> Iterator[tuple[str, str]]:
    """Each command from its start to its end: medians of interleaved runs, and times Python's own. What the
    process takes that has stayed, and answers, counts; the first two runs are those that make it stay."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(RUNS + 2):
            for name, arguments in COMMANDS.items():
                took = _run(arguments, path, folder)
                found[name] += [took] if number > 1 else []
        for pid in _stayed(folder):
            os.kill(pid, signal.SIGTERM)
    bare = median(cpu for cpu, _ in found["`python -c pass`"])
    for name, times in found.items():
        cpu, clock = (median(column) for column in zip(*times, strict=True))
        yield name, f"{cpu:.0f} ms of CPU, {clock:.0f} by the clock, {cpu / bare:.1f} x Python's start"


def _environ(path: Path, folder: str = "") -> dict[str, str]:
    """As users have it: Python keeps what it compiled.

    Args:
        folder: where processes that stay listen.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "CODEX_USAGE_DB_PATH": str(path), "TERM": "xterm-256color", "XDG_RUNTIME_DIR": folder}


def _run(arguments: Sequence[str], path: Path, folder: str) -> tuple[float, float]:
    """Milliseconds of CPU, also of processes that stay, and by the clock."""
    stayed = _stayed(folder)
    before, began = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    beside = sum(map(_nanoseconds, stayed))
    subprocess.run(python(*arguments), env=_environ(path, folder), stdout=subprocess.DEVNULL, check=True)
    clock, after = time.perf_counter() - began, getrusage(RUSAGE_CHILDREN)
    beside = sum(map(_nanoseconds, stayed)) - beside
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu * 1e3 + beside / 1e6, clock * 1e3


def _stayed(folder: str) -> list[int]:
    """The processes that have stayed, by the sockets that they listen on."""
    found = []
    for place in Path(folder).glob("quotascope/status-*"):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(place))
            told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            found.append(int.from_bytes(told[:4], sys.byteorder))
    return found


def _nanoseconds(pid: int) -> int:
    """Of CPU that a process has had."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def _watched(path: Path) -> float:
    """Milliseconds of CPU of each further line of a status line that goes on by itself."""
    command = python(*STATUS, "--oneline", "--watch", "0.2")
    with subprocess.Popen(command, env=_environ(path), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        program = Program("status", 0, process)
        process.stdout.readline()
        before = program.cpu_seconds()
        for _ in range(WATCHED):
            process.stdout.readline()
        used = program.cpu_seconds() - before
        process.terminate()
    return used / WATCHED * 1e3


def _loaded(path: Path, watching: Sequence[Sequence[str]]) -> tuple[str, float, str]:
    """A load on a proxy beside programs that watch its ledger: its answers, what the programs took of a core,
    and what was counted in the end."""
    with ExitStack() as stack:
        proxy = stack.enter_context(_proxy(path))
        screens = [stack.enter_context(_screen(words, path)) for words in watching]
        asyncio.run(_requests(proxy.origin, 1))  # the ledger is made, and all is imported
        time.sleep(3.0)
        before = sum(screen.cpu_seconds() for screen in screens)
        sent, seconds, waits = asyncio.run(_requests(proxy.origin, SECONDS))
        used = (sum(screen.cpu_seconds() for screen in screens) - before) / seconds * 100
        truth = _truth(proxy.origin, path, sent + A_SECOND)
    cuts = quantiles(waits, n=100)
    answers = f"answers {cuts[49]:.1f} ms, p99 {cuts[98]:.1f}, longest {max(waits):.0f}"
    return f"{sent / seconds:.0f} requests/s for {seconds:.0f} s, {answers}", used, truth


def _truth(origin: str, path: Path, sent: int) -> str:
    deadline, found = time.monotonic() + 30, dict[str, Any]()
    while found.get("requests") != sent and time.monotonic() < deadline:
        done = subprocess.run(python(*STATUS, "--json"), env=_environ(path), capture_output=True, check=True)
        found = json.loads(done.stdout)["periods"][0]
    with urllib.request.urlopen(f"{origin}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    (dropped,) = (line for line in lines if line.startswith("codex_lb_request_log_buffer_dropped_total "))
    errors, lost = found["errors"], float(dropped.split()[1])
    return f"{found['requests']:,} of {sent:,} requests, {errors} errors, {lost:.0f} dropped"


async def _requests(origin: str, seconds: int) -> tuple[int, float, list[float]]:
    """So many a second, whether or not those before were answered: how many, in what time, and the waits."""
    began, waits = time.perf_counter(), list[float]()
    body = {"model": "gpt-5.4", "input": "hi"}

    async def one(session: aiohttp.ClientSession, number: int) -> None:
        await asyncio.sleep(max(0.0, began + number / A_SECOND - time.perf_counter()))
        at = time.perf_counter()
        async with session.post(f"{origin}/v1/responses", json=body) as answer:
            await answer.read()
            answer.raise_for_status()
        waits.append((time.perf_counter() - at) * 1e3)

    number = A_SECOND * seconds
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as session:
        await asyncio.gather(*(one(session, n) for n in range(number)))
    return number, time.perf_counter() - began, waits


@contextmanager
def _proxy(path: Path) -> Iterator[Program]:
    """A proxy on the ledger, before a provider that answers at once."""
    provider, port = free_port(), free_port()
    listen = ("upstream", "--fixed", "--listen", f"127.0.0.1:{provider}")
    environ = {
        "CODEX_USAGE_LISTEN_ADDR": f"127.0.0.1:{port}",
        "CODEX_USAGE_UPSTREAM_BASE_URL": f"http://127.0.0.1:{provider}",
        "CODEX_USAGE_DB_PATH": str(path),
    }
    with ExitStack() as stack:
        upstream = start("provider", python("-m", "simulator", *listen), provider)
        stack.callback(upstream.end)
        proxy = start("proxy", python("-m", "proxy"), port, env=environ)
        stack.callback(proxy.end)
        yield proxy


@contextmanager
def _screen(words: Sequence[str], path: Path) -> Iterator[Program]:
    """A command of the terminal on a terminal of its own, which takes in whatever it draws."""
    ours, its = pty.openpty()
    command = python("-m", "console", *words)
    with subprocess.Popen(command, env=_environ(path), stdin=its, stdout=its, stderr=its) as process:
        os.close(its)
        reader = threading.Thread(target=_drain, args=(ours,))
        reader.start()
        try:
            yield Program(words[0], 0, process)
        finally:
            process.terminate()
            process.wait()
            reader.join()
            os.close(ours)


def _drain(descriptor: int) -> None:
    with suppress(OSError):  # the other side is gone
        while os.read(descriptor, 65_536):
            pass
