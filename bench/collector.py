"""The collector against a simulated gateway: a burst that waits in its queue, and a steady flow."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.scenes.processes import Program, free_port

BURST = 200_000
RATE = 500
SECONDS = 20
KEY = "management-key-1"


@dataclass(frozen=True, slots=True)
class Finding:
    """One measured figure beside what is asked of it."""

    what: str
    value: str
    target: str


def findings() -> list[Finding]:
    """Measure; takes about two minutes."""
    with tempfile.TemporaryDirectory(prefix="bench-collector-") as name:
        folder, port = Path(name), free_port()
        gateway = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bench.scenes.collector_gateway",
                str(port),
                str(BURST),
                str(RATE),
                str(SECONDS),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert gateway.stdout is not None
        gateway.stdout.readline()
        own = free_port()
        process = subprocess.Popen(
            [sys.executable, "-m", "collector", "--config", str(_config(folder, port, own))],
            env={**os.environ, "CPA_KEY": KEY},
            stdout=subprocess.DEVNULL,
        )
        program = Program("collector", own, process)
        try:
            return [*_burst(folder, program), *_steady(folder, program, gateway)]
        finally:
            program.end()
            gateway.kill()
            gateway.wait()


def _config(folder: Path, port: int, own: int) -> Path:
    path = folder / "codex-usage.toml"
    path.write_text(
        f'[storage]\ndatabase_path = "{folder / "usage.db"}"\n'
        f'[collector]\nlisten_addr = "127.0.0.1:{own}"\ninbox_path = "{folder / "inbox.db"}"\n'
        f'[collector.gateways."cpa"]\nurl = "http://127.0.0.1:{port}"\nkey = "env:CPA_KEY"\n',
        encoding="utf-8",
    )
    return path


def _burst(folder: Path, program: Program) -> list[Finding]:
    inbox, ledger = folder / "inbox.db", folder / "usage.db"
    _wait(lambda: _count(inbox, "items") > 0)
    began, before, cpu = time.monotonic(), _count(inbox, "items"), program.cpu_seconds()
    peak = 0.0

    def drained() -> bool:
        nonlocal peak
        peak = max(peak, program.rss_mib())
        return _count(inbox, "items") >= BURST

    _wait(drained)
    committed = time.monotonic() - began

    def stored() -> bool:
        nonlocal peak
        peak = max(peak, program.rss_mib())
        return _count(ledger, "request_logs") >= BURST

    _wait(stored)
    everything, worked = time.monotonic() - began, program.cpu_seconds() - cpu
    size = sum(path.stat().st_size for path in folder.iterdir() if "-wal" not in path.name)
    events = BURST - before
    return [
        Finding("burst, drained and committed", f"{events / committed:,.0f} events/s", "5,000 or more"),
        Finding("burst, in the ledger too", f"{events / everything:,.0f} events/s", ""),
        Finding("burst, in the ledger too, by CPU time", f"{events / worked:,.0f} events a CPU second", ""),
        Finding("resident memory at most", f"{peak:.0f} MiB", "under 120"),
        Finding("disk for each event, inbox and ledger", f"{size / BURST:,.0f} bytes", "under 1,500"),
    ]


def _steady(folder: Path, program: Program, gateway: subprocess.Popen[str]) -> list[Finding]:
    assert gateway.stdin is not None
    assert gateway.stdout is not None
    time.sleep(2)
    before, began = program.cpu_seconds(), time.monotonic()
    gateway.stdin.write("\n")
    gateway.stdin.flush()
    gateway.stdout.readline()
    _wait(lambda: _count(folder / "usage.db", "request_logs") >= BURST + RATE * SECONDS)
    took = time.monotonic() - began
    share = (program.cpu_seconds() - before) / took
    rate = RATE * SECONDS / took
    return [Finding(f"steady {rate:.0f} events/s", f"{share:.1%} of a core", "under 15 % at 500")]


def _count(path: Path, table: str) -> int:
    if not path.exists():
        return 0
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # not made yet
    finally:
        connection.close()


def _wait(condition: Callable[[], bool], seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.25)


def table(found: list[Finding]) -> str:
    """The figures as Markdown."""
    rows = [f"| {one.what} | {one.value} | {one.target} |" for one in found]
    return "\n".join(["| collector | measured | asked for |", "|---|---|---|", *rows])
