"""How fast the ledger takes requests and answers questions about them.

Insertion, size, and the questions of the monitoring page beside a naive GROUP BY over the rows, in one run.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from sqlalchemy import Connection, func, select

from bench.ledger_store import END, batches
from ledger.pricing.files import book, load_seed
from ledger.requests import queries
from ledger.requests.filter import RequestFilter
from ledger.requests.limits import Limit, asking
from ledger.requests.writes import record
from ledger.schema import request_logs
from ledger.store import migrate, reader, sqlite_url, writer

ROUNDS = 7
Question = Callable[[Connection], Any]


def measure(rows: int) -> list[tuple[str, str]]:
    """What was measured, and the figure."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "usage.db")
        found = filled(path, rows)
        engine = reader(sqlite_url(path))
        for name, question in _questions().items():
            taken = [_seconds(engine, question) for _ in range(ROUNDS)]
            median, worst = statistics.median(taken) * 1_000, max(taken) * 1_000
            found.append((name, f"{median:.0f} ms, at most {worst:.0f}"))
        engine.dispose()
    return found


def filled(path: Path, rows: int) -> list[tuple[str, str]]:
    """Make a ledger of so many invented requests; how fast that went, and how large it is."""
    engine, seconds = writer(sqlite_url(path)), 0.0
    migrate(engine)
    for batch in batches(rows):
        began = perf_counter()
        with engine.begin() as connection:
            record(connection, batch)
        seconds += perf_counter() - began
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    engine.dispose()
    size = path.stat().st_size / rows
    rate = f"{rows / seconds:,.0f} events/s"
    return [("insert, sums included", rate), ("size", f"{size:.0f} bytes a request")]


def _questions() -> dict[str, Question]:
    prices, found = book(load_seed()), {}
    for name, days in (("24 h", 1), ("30 d", 30), ("12 months", 365)):
        where = RequestFilter(END - timedelta(days=days), END)
        found[f"summary, top accounts, top keys, {name}"] = _overview(where, prices)
        found[f"the same by a naive GROUP BY, {name}"] = _naive(where)
    week = RequestFilter(END - timedelta(days=7), END)
    picked = replace(week, account_id=("account-007@example.com",), status=("error",), model=("gpt-5.5",))
    found["a page of 100 rows, 7 d, three filters"] = lambda c: queries.page(c, picked, prices)
    month = RequestFilter(END - timedelta(days=30), END)
    found["percentiles by model, 30 d"] = lambda c: queries.by(c, month, "model", prices, durations=True)
    return found


def _overview(where: RequestFilter, prices: Any) -> Question:
    def ask(connection: Connection) -> None:
        queries.totals(connection, where, prices, durations=False)
        for dimension in ("account_id", "api_key_id"):
            queries.by(connection, where, dimension, prices)

    return ask


def _naive(where: RequestFilter) -> Question:
    log = request_logs.c
    tokens = (log.input_tokens, log.cached_input_tokens, log.output_tokens)
    sums = [func.count(), *map(func.sum, tokens)]
    within = (log.requested_at >= where.since, log.requested_at < where.until)

    def ask(connection: Connection) -> None:
        for keys in ((log.model,), (log.account_id, log.model), (log.api_key_id, log.model)):
            connection.execute(select(*keys, *sums).where(*within).group_by(*keys)).fetchall()

    return ask


def _seconds(engine: Any, question: Question) -> float:
    began = perf_counter()
    with asking(engine, Limit(600)) as connection:
        question(connection)
    return perf_counter() - began


def table(results: Sequence[tuple[str, str]]) -> str:
    """The figures as Markdown."""
    return "\n".join(["| | measured |", "|---|--:|", *(f"| {name} | {figure} |" for name, figure in results)])
