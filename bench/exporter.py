"""The exporter on a small and on a large store, and a scrape that sums everything anew."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.exporter_store import ACCOUNTS, append, make, naive
from bench.processes import Program, free_port, python, start

SMALL_ROWS = 100_000
LARGE_ROWS = 10_000_000
SCRAPES = 60
PAUSE_SECONDS = 0.2
NEW_ROWS = 20
"""Requests that arrive between two scrapes."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: times in seconds, memory in MiB; `cpu` is of one scrape."""

    name: str
    rows: int
    first: float
    healthz: float
    p50: float
    p99: float
    cpu: float
    rss: float


@dataclass(slots=True)
class _Subject:
    """An exporter on a store of so many requests, the store's owner at work beside it, and its times."""

    rows: int
    program: Program
    owner: sqlite3.Connection
    first: float = 0.0
    healthz: float = 0.0
    times: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def scrape_first(self) -> None:
        self.owner.execute("SELECT 1 FROM accounts").fetchall()
        with _Healthz(self.program.origin) as asked:
            self.first = _get(self.program.origin + "/metrics")
        self.healthz = asked.seconds

    def scrape(self) -> None:
        append(self.owner, NEW_ROWS)
        time.sleep(PAUSE_SECONDS)
        before = self.program.cpu_seconds()
        self.times.append(_get(self.program.origin + "/metrics"))
        self.cpu += self.program.cpu_seconds() - before

    def row(self) -> Row:
        quantiles = statistics.quantiles(self.times, n=100)
        rss = self.program.rss_mib()
        times = (self.first, self.healthz, quantiles[49], quantiles[98], self.cpu / len(self.times))
        return Row("exporter", self.rows, *times, rss)


@contextmanager
def _subject(folder: Path, rows: int) -> Iterator[_Subject]:
    path, port = folder / f"store-{rows}.db", free_port()
    make(path, rows, datetime.now(UTC))
    program = start("exporter", _command(path, port, folder), port, cwd=folder)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as owner:
            owner.execute("PRAGMA synchronous=OFF")
            yield _Subject(rows, program, owner)
    finally:
        program.end()


def _command(path: Path, port: int, folder: Path) -> list[str]:
    config = folder / f"{path.stem}.toml"
    config.write_text(f'[exporter]\nlisten_addr = "127.0.0.1:{port}"\n', encoding="utf-8")
    return python("-m", "exporter", "--config", str(config), "--store", f"codex-lb:{path}")


def _naive(owner: sqlite3.Connection, rows: int) -> Row:
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        naive(owner, datetime.now(UTC))
        times.append(time.perf_counter() - begin)
    return Row("sums anew, SQL", rows, times[0], 0.0, statistics.median(times), max(times), 0.0, 0.0)


class _Healthz:
    """Asks /healthz again and again while a block runs; the slowest answer in seconds."""

    def __init__(self, origin: str) -> None:
        self._url, self._over = origin + "/healthz", threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.seconds = 0.0

    def __enter__(self) -> _Healthz:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.05):
            self.seconds = max(self.seconds, _get(self._url))


def _get(url: str) -> float:
    begin = time.perf_counter()
    with urllib.request.urlopen(url, timeout=120) as answer:
        answer.read()
    return time.perf_counter() - begin


def compare(scrapes: int, large: int = LARGE_ROWS, small: int = SMALL_ROWS) -> list[Row]:
    """Both stores in turn, scrape by scrape; then the sums anew on both."""
    with tempfile.TemporaryDirectory(prefix="exporter-bench-") as name, ExitStack() as stack:
        subjects = [stack.enter_context(_subject(Path(name), rows)) for rows in (small, large)]
        for subject in subjects:
            subject.scrape_first()
        for _ in range(scrapes):
            for subject in subjects:
                subject.scrape()
        return [row for subject in subjects for row in (subject.row(), _naive(subject.owner, subject.rows))]


def table(rows: list[Row]) -> str:
    """The figures as Markdown."""
    lines = [
        f"### A scrape of {ACCOUNTS:,} accounts",
        "",
        "| | request rows | first s | slowest /healthz ms | p50 ms | p99 ms | CPU ms | RSS MiB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {r.name} | {r.rows:,} | {r.first:.2f} | {_or_dash(r.healthz * 1000)} | {r.p50 * 1000:.1f} | "
        f"{r.p99 * 1000:.1f} | {_or_dash(r.cpu * 1000)} | {_or_dash(r.rss)} |"
        for r in rows
    ]
    ours = [r for r in rows if r.name == "exporter"]
    ratio = ours[-1].p50 / ours[0].p50
    return "\n".join([*lines, "", f"p50 of the large store: {ratio:.2f} times that of the small one."])


def _or_dash(value: float) -> str:
    return f"{value:.0f}" if value else "-"
