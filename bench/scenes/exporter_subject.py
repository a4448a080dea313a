"""An exporter on a store whose owner is at work, and what is seen of it from outside."""

from __future__ import annotations

import sqlite3
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.scenes import held
from bench.scenes.exporter_store import append, delete_one
from bench.scenes.processes import Program

PAUSE_SECONDS = 0.2
NEW_ROWS = 20
"""Requests that arrive between two scrapes."""

USUAL_SECONDS = 15
"""Between two scrapes, as Prometheus is configured; here while a deletion is waited for."""

MAX_WAITED = 40


@dataclass(slots=True)
class Subject:
    """An exporter on a store of so many requests, the store's owner at work beside it, and its times."""

    rows: int
    program: Program
    owner: sqlite3.Connection
    report: Path
    first: float = 0.0
    loaded_at: float = 0.0
    healthz: float = 0.0
    times: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def scrape_first(self) -> None:
        self.owner.execute("SELECT 1 FROM accounts").fetchall()
        with Healthz(self.program.origin) as asked:
            self.first = get(self.program.origin + "/metrics")
        self.healthz, self.loaded_at = asked.seconds, time.monotonic()

    def scrape(self) -> None:
        before = self.program.cpu_seconds()
        append(self.owner, NEW_ROWS)
        time.sleep(PAUSE_SECONDS)
        self.times.append(get(self.program.origin + "/metrics"))
        self.cpu += self.program.cpu_seconds() - before

    def seconds_to_notice(self) -> float:
        """Delete a request of three days ago, and scrape until its account has spent less."""
        line = f'cost_usd_7d{{account_id="{delete_one(self.owner, datetime.now(UTC) - timedelta(days=3))}"}} '
        begin, before = time.monotonic(), self._value(line)
        for _ in range(MAX_WAITED):
            time.sleep(USUAL_SECONDS)
            if self._value(line) != before:
                return time.monotonic() - begin
        return float("inf")

    def _value(self, line: str) -> str:
        with urllib.request.urlopen(self.program.origin + "/metrics", timeout=120) as answer:
            return str(answer.read().decode().partition(line)[2].partition("\n")[0])

    def held(self) -> tuple[list[float], list[float]]:
        """End the exporter; the seconds for which its statements held the store, until the first scrape
        was answered and from then on."""
        self.program.end()
        found = held.read(self.report)
        first = [seconds for at, seconds in found if at <= self.loaded_at]
        return first, [seconds for at, seconds in found if at > self.loaded_at]


class Healthz:
    """Asks /healthz again and again while a block runs; the slowest answer in seconds."""

    def __init__(self, origin: str) -> None:
        self._url, self._over = origin + "/healthz", threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.seconds = 0.0

    def __enter__(self) -> Healthz:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._over.wait(0.05):
            self.seconds = max(self.seconds, get(self._url))


def get(url: str) -> float:
    begin = time.perf_counter()
    with urllib.request.urlopen(url, timeout=120) as answer:
        answer.read()
    return time.perf_counter() - begin
