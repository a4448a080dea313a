"""What backing up, exporting, checking and forgetting take, and how long a writer waits meanwhile.

The writer is a process of its own that stores ten requests fifty times a second, as a proxy does; its waits
are measured alone, and beside each command.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from tempfile import TemporaryDirectory
from time import perf_counter, sleep

from bench.scenes import ledger_rows, ledger_store

EXPORTED = 1_000_000
ALONE_SECONDS = 5.0

_WRITER = """
import json, sys, time, uuid
from datetime import UTC, datetime
from pathlib import Path
from ledger.requests.writes import record
from ledger.store import sqlite_url, writer
from ledger.values import RequestEvent, Usage
engine, waits, largest, longest = writer(sqlite_url(Path(sys.argv[1])), busy_timeout_seconds=60), [], 0, 0
def queued():  # for a core, in seconds
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
wal, end = Path(sys.argv[1] + "-wal"), Path(sys.argv[2])
plain = dict(method="POST", route="/v1/responses", status="success", http_status=200, latency_ms=900.0)
plain |= dict(end_reason="done", account_id="writer", api_key_id="sk-w", model="gpt-5.5", api="responses")
def made(id):
    return RequestEvent(id=id, request_id=id, requested_at=datetime.now(UTC), usage=Usage(1000, 100), **plain)
while not end.exists():
    events = [made(uuid.uuid4().hex) for _ in range(10)]
    with engine.begin() as connection:
        before, began = queued(), time.perf_counter()
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        waits.append(time.perf_counter() - began)  # until it may write: what others cost it
        longest = max(longest, waits[-1] - queued() + before)
        record(connection, events)
    largest = max(largest, wal.stat().st_size)
    time.sleep(0.02)
waits.sort()
number = len(waits)
print(json.dumps([number, waits[number // 2], waits[number * 99 // 100], waits[-1], longest, largest]))
"""


def measure(ledger: Path | None, rows: int) -> Iterator[tuple[str, str]]:
    """What was measured, and the figure.

    Args:
        ledger: one of today's schema, which is written to; without one it is made, with so many rows.
    """
    with TemporaryDirectory() as folder:
        path = ledger or Path(folder, "usage.db")
        if ledger is None:
            ledger_rows.fill(path, rows, datetime.now(UTC))
        since = datetime.now(UTC) - timedelta(days=ledger_store.DAYS * min(1.0, EXPORTED / rows))
        yield _line("the writer alone", path, Path(folder), None)
        for name in ("jsonl", "csv", "parquet"):
            target = Path(folder, f"requests.{name}")
            command = ["export", str(target), "--since", since.isoformat()]
            yield _line(f"export of {min(EXPORTED, rows):,} requests, {name}", path, Path(folder), command)
            target.unlink()
        yield _line("backup", path, Path(folder), ["backup", str(Path(folder, "copy.db"))])
        Path(folder, "copy.db").unlink()
        yield _line("check", path, Path(folder), ["check"])
        Path(folder, "keep.toml").write_text('[storage.retention]\nrequests = "60d"\n')
        command = ["prune", "--config", str(Path(folder, "keep.toml"))]
        yield _line("forgetting a third of the requests", path, Path(folder), command)


def _line(name: str, path: Path, folder: Path, command: list[str] | None) -> tuple[str, str]:
    with _writing(path, folder) as found:
        began = perf_counter()
        before = getrusage(RUSAGE_CHILDREN)
        said = _run(path, command) if command else ""
        after = getrusage(RUSAGE_CHILDREN)
        sleep(0 if command else ALONE_SECONDS)
        seconds = perf_counter() - began
    number, median, p99, longest, held, wal = found
    waits = f"{median * 1e3:.1f} / {p99 * 1e3:.1f} / {longest * 1e3:.1f} ms of {number:.0f}"
    waits += f", for no core {held * 1e3:.1f}"
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    took = f"{seconds:.1f} s, {cpu:.1f} s of CPU; {said}; " if command else ""
    return name, f"{took}waits (median / p99 / longest) {waits}; WAL at most {wal / 1e6:.0f} MB"


def _run(path: Path, command: list[str]) -> str:
    """One command of the ledger, in a process of its own; its answer."""
    environ = {"CODEX_USAGE_DB_PATH": str(path), "PATH": "/usr/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "ledger", *command], env=environ, check=True, capture_output=True, text=True
    )
    return done.stdout.strip().rpartition("/")[2]


@contextmanager
def _writing(path: Path, folder: Path) -> Iterator[list[float]]:
    """A writer beside the block; its figures are there after it."""
    end, found = folder / "end", list[float]()
    end.unlink(missing_ok=True)
    command = [sys.executable, "-c", _WRITER, str(path), str(end)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        sleep(1.5)
        try:
            yield found
        finally:
            end.touch()
            found += json.loads(process.stdout.read() or "[0, 0, 0, 0, 0, 0]")
