"""The exporter on a small and on a large store, how long it holds them, and full sums."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.scenes.exporter_store import ACCOUNTS, make, naive
from bench.scenes.exporter_subject import USUAL_SECONDS, Subject
from bench.scenes.processes import free_port, python, start

SMALL_ROWS = 100_000
LARGE_ROWS = 10_000_000
SCRAPES = 60


@dataclass(frozen=True, slots=True)
class Hold:
    """How long statements held a store, one line of a table: `p99` and `longest` in seconds."""

    rows: int
    when: str
    statements: int
    p99: float
    longest: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: times in seconds, memory in MiB; `cpu` of a scrape and the audit before it."""

    name: str
    rows: int
    first: float
    healthz: float
    p50: float
    p99: float
    cpu: float
    rss: float


@contextmanager
def _subject(folder: Path, rows: int) -> Iterator[Subject]:
    path, port, report = folder / f"store-{rows}.db", free_port(), folder / f"held-{rows}.json"
    make(path, rows, datetime.now(UTC))
    program = start("exporter", _command(path, port, report), port, cwd=folder)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as owner:
            owner.execute("PRAGMA synchronous=OFF")
            yield Subject(rows, program, owner, report)
    finally:
        program.end()


def _command(path: Path, port: int, report: Path) -> list[str]:
    config = path.with_suffix(".toml")
    config.write_text(f'[exporter]\nlisten_addr = "127.0.0.1:{port}"\n', encoding="utf-8")
    arguments = ("--config", str(config), "--store", f"codex-lb:{path}")
    return python("-m", "bench.scenes.held", str(report), *arguments)


def _row(subject: Subject) -> Row:
    quantiles = statistics.quantiles(subject.times, n=100)
    times = (subject.first, subject.healthz, quantiles[49], quantiles[98], subject.cpu / len(subject.times))
    return Row("exporter", subject.rows, *times, subject.program.rss_mib())


def _held(subject: Subject) -> list[Hold]:
    first, later = subject.held()
    return [_hold(subject.rows, "first scrape", first), _hold(subject.rows, "from then on", later)]


def _hold(rows: int, when: str, seconds: list[float]) -> Hold:
    return Hold(rows, when, len(seconds), statistics.quantiles(seconds, n=100)[98], max(seconds))


def _naive(owner: sqlite3.Connection, rows: int) -> Row:
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        naive(owner, datetime.now(UTC))
        times.append(time.perf_counter() - begin)
    return Row("full sums, SQL", rows, times[0], 0.0, statistics.median(times), max(times), 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Findings:
    """Both tables, and how many seconds a deletion in the large store went unseen."""

    rows: list[Row]
    holds: list[Hold]
    unseen: float


def compare(scrapes: int, large: int = LARGE_ROWS, small: int = SMALL_ROWS) -> Findings:
    """Both stores in turn, scrape by scrape; then the full sums on both."""
    with tempfile.TemporaryDirectory(prefix="exporter-bench-") as name, ExitStack() as stack:
        subjects = [stack.enter_context(_subject(Path(name), rows)) for rows in (small, large)]
        for subject in subjects:
            subject.scrape_first()
        for _ in range(scrapes):
            for subject in subjects:
                subject.scrape()
        rows = [row for subject in subjects for row in (_row(subject), _naive(subject.owner, subject.rows))]
        unseen = subjects[-1].seconds_to_notice()
        return Findings(rows, [hold for subject in subjects for hold in _held(subject)], unseen)


def table(found: Findings) -> str:
    """The figures as Markdown."""
    seen = (
        f"A request of three days ago, deleted from the large store: seen after {found.unseen:.0f} s, "
        f"with a scrape each {USUAL_SECONDS} s."
    )
    return "\n".join([*_scrapes(found.rows), "", *_holds(found.holds), "", seen])


def _scrapes(rows: list[Row]) -> list[str]:
    ours = [row for row in rows if row.name == "exporter"]
    return [
        f"### A scrape of {ACCOUNTS:,} accounts",
        "",
        "| | request rows | first s | slowest /healthz ms | p50 ms | p99 ms | CPU ms | RSS MiB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
        *(
            f"| {r.name} | {r.rows:,} | {r.first:.2f} | {_or_dash(r.healthz * 1000)} | {r.p50 * 1000:.1f} | "
            f"{r.p99 * 1000:.1f} | {_or_dash(r.cpu * 1000)} | {_or_dash(r.rss)} |"
            for r in rows
        ),
        "",
        f"p50 of the large store: {ours[-1].p50 / ours[0].p50:.2f} times that of the small one.",
    ]


def _holds(holds: list[Hold]) -> list[str]:
    return [
        "### How long one statement holds the store",
        "",
        "| request rows | | statements | p99 ms | longest ms |",
        "|--:|---|--:|--:|--:|",
        *(
            f"| {h.rows:,} | {h.when} | {h.statements:,} | {h.p99 * 1000:.1f} | {h.longest * 1000:.1f} |"
            for h in holds
        ),
    ]


def _or_dash(value: float) -> str:
    return f"{value:.0f}" if value else "-"
