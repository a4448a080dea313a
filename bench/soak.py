"""What the proxy bears: many streams at once, many requests in a row, scrapes under full load."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from sqlalchemy import func, select

from bench.relay import LOAD_CPU, PATH, STREAM, UNARY, quotascope, upstream
from bench.scenes.load import wrk
from bench.scenes.processes import Program
from ledger import store
from ledger.schema import request_logs

STREAMS = 1_000
FEW, MANY = 20_000, 200_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table."""

    what: str
    measured: str
    wanted: str


def findings(many: int = MANY) -> list[Finding]:
    """All of them, on one proxy."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        provider = upstream(folder, "--events-per-write", "1")
        try:
            proxy = quotascope(folder, provider.origin)
            try:
                found = [*_streams(proxy, folder), *_memory(proxy, many), *_scrapes(proxy)]
            finally:
                proxy.end()
        finally:
            provider.end()
        return found


def table(found: list[Finding]) -> str:
    lines = ["### Endurance", "", "| | measured | wanted |", "|---|--:|--:|"]
    return "\n".join([*lines, *(f"| {f.what} | {f.measured} | {f.wanted} |" for f in found)])


def _streams(proxy: Program, folder: Path) -> list[Finding]:
    peak = 0.0
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.05):
            peak = max(peak, proxy.rss_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    whole = asyncio.run(_open_streams(proxy.origin + PATH))
    over.set()
    watcher.join()
    time.sleep(1.5)  # the last events are stored
    return [
        Finding(f"{STREAMS:,} streams at once: complete", f"{whole:,}", f"{STREAMS:,}"),
        Finding("… recorded with their tokens", f"{_recorded(folder):,}", f"{STREAMS:,}"),
        Finding("… peak RSS", f"{peak:.0f} MiB", "< 200 MiB"),
    ]


async def _open_streams(url: str) -> int:
    """How many of the streams came to their end."""
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Content-Type": "application/json", "Authorization": "Bearer sk-bench-0123456789abcdef"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def one() -> bool:
            async with session.post(url, data=STREAM) as answer:
                return (await answer.read()).endswith(b"data: [DONE]\n\n")

        done = await asyncio.gather(*(one() for _ in range(STREAMS)), return_exceptions=True)
    return sum(result is True for result in done)


def _recorded(folder: Path) -> int:
    engine = store.reader(store.sqlite_url(next(folder.glob("*.db"))))
    log = request_logs.c
    with engine.connect() as connection:
        where = (log.input_tokens.is_not(None)) & (log.status == "success")
        found = connection.execute(select(func.count()).where(where)).scalar_one()
    engine.dispose()
    return int(found)


def _memory(proxy: Program, many: int) -> list[Finding]:
    done, early, late = 0, 0.0, 0.0
    while done < many:
        done += wrk(proxy.origin + PATH, UNARY, connections=32, seconds=3, cpu=LOAD_CPU).requests
        late = proxy.rss_mib()
        if not early and done >= FEW:
            early = late
    growth = (late / early - 1) * 100
    return [
        Finding(
            f"RSS after {done:,} requests, against {FEW:,}",
            f"{late:.0f} MiB, {growth:+.1f} %",
            "within 10 %",
        )
    ]


def _scrapes(proxy: Program) -> list[Finding]:
    ratios, times = [], []
    for _ in range(5):
        alone = wrk(proxy.origin + PATH, UNARY, connections=32, seconds=3, cpu=LOAD_CPU)
        over = threading.Event()

        def scrape(over: threading.Event = over) -> None:
            while not over.wait(1.0):
                start = time.perf_counter()
                with urllib.request.urlopen(proxy.origin + "/metrics") as answer:
                    answer.read()
                times.append((time.perf_counter() - start) * 1000)

        thread = threading.Thread(target=scrape)
        thread.start()
        scraped = wrk(proxy.origin + PATH, UNARY, connections=32, seconds=3, cpu=LOAD_CPU)
        over.set()
        thread.join()
        ratios.append(scraped.per_second / alone.per_second)
    return [
        Finding(
            "scrape under full load, once a second: median (worst)",
            f"{statistics.median(times):.0f} ms ({max(times):.0f} ms)",
            "< 100 ms",
        ),
        Finding("… throughput against none, median of 5", f"{statistics.median(ratios):.2f}x", "about 1"),
    ]
