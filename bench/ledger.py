"""How fast the ledger takes requests and answers questions about them.

Insertion, size, and the questions of the monitoring page beside a naive GROUP BY over the rows, in one run.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from bench.scenes.ledger_rows import fill
from bench.scenes.ledger_store import END, batches
from ledger.pricing.files import book, load_seed
from ledger.requests import queries
from ledger.requests.filter import RequestFilter
from ledger.requests.limits import Limit, asking
from ledger.requests.writes import record
from ledger.schema import request_logs
from ledger.store import migrate, reader, sqlite_url, writer

ROUNDS = 20
INSERTED = 100_000
NAIVE = "the same by a naive GROUP BY"
"""Nothing of it is remembered, and it takes long: it is asked once."""

Question = Callable[[Connection], Any]


def measure(rows: int, made: Path | None = None) -> list[tuple[str, str]]:
    """What was measured, and the figure.

    Args:
        made: a ledger to ask; None: one of so many rows is made.
    """
    with TemporaryDirectory() as folder:
        found, path = _inserted(Path(folder, "inserted.db")), made or Path(folder, "usage.db")
        if made is None:
            fill(path, rows, END)
        engine = reader(sqlite_url(path))
        with engine.connect() as connection:
            number, newest = connection.execute(
                select(func.count(), func.max(request_logs.c.requested_at)).select_from(request_logs)
            ).one()
        found.append(("size", f"{path.stat().st_size / number:.0f} bytes a request, {number:,} requests"))
        found += _asked(engine, newest)
        engine.dispose()
    return found


def _asked(engine: Engine, newest: datetime) -> list[tuple[str, str]]:
    """Each question once while nothing of it is remembered, then ours all in turn."""
    questions = _questions(newest)
    first = {name: _seconds(engine, question) for name, question in questions.items()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in questions}
    for _ in range(ROUNDS):
        for name, question in questions.items():
            if NAIVE not in name:
                taken[name].append(_seconds(engine, question))
    return [(name, _figures(first[name], taken[name])) for name in questions]


def _figures(first: tuple[float, float], taken: Sequence[tuple[float, float]]) -> str:
    if not taken:
        return f"{first[0] * 1_000:,.0f} ms, CPU {first[1] * 1_000:,.0f}"
    clock, cpu = ([1_000 * one[place] for one in taken] for place in (0, 1))
    p95 = statistics.quantiles(clock, n=20)[-1]
    median, own = statistics.median(clock), statistics.median(cpu)
    return f"p50 {median:.0f} ms, p95 {p95:.0f}, CPU {own:.0f}, first {first[0] * 1_000:,.0f}"


def _inserted(path: Path) -> list[tuple[str, str]]:
    engine, clock, cpu = writer(sqlite_url(path)), 0.0, 0.0
    migrate(engine)
    for batch in batches(INSERTED):
        began, worked = perf_counter(), process_time()
        with engine.begin() as connection:
            record(connection, batch)
        clock, cpu = clock + perf_counter() - began, cpu + process_time() - worked
    engine.dispose()
    rate = f"{INSERTED / clock:,.0f} events/s, {INSERTED / cpu:,.0f} a CPU second"
    return [("insert, sums included", rate)]


def _questions(end: datetime) -> dict[str, Question]:
    prices, found = book(load_seed()), {}
    for name, days in (("24 h", 1), ("30 d", 30), ("12 months", 365)):
        where = RequestFilter(end - timedelta(days=days), end)
        found[f"summary, top accounts, top keys, {name}"] = _overview(where, prices)
        found[f"{NAIVE}, {name}"] = _naive(where)
    week = RequestFilter(end - timedelta(days=7), end)
    picked = replace(week, account_id=("account-007@example.com",), status=("error",), model=("gpt-5.5",))
    found["a page of 100 rows, 7 d, three filters"] = lambda c: queries.page(c, picked, prices)
    slow = replace(week, min_first_token_ms=50_000.0, status=("success",), project=("project-9",))
    found["the same, of which there are none"] = lambda c: queries.page(c, slow, prices)
    month = RequestFilter(end - timedelta(days=30), end)
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


def _seconds(engine: Engine, question: Question) -> tuple[float, float]:
    """By the clock, and of the CPU."""
    began, worked = perf_counter(), process_time()
    with asking(engine, Limit(600)) as connection:
        question(connection)
    return perf_counter() - began, process_time() - worked


def table(results: Sequence[tuple[str, str]]) -> str:
    """The figures as Markdown."""
    return "\n".join(["| | measured |", "|---|--:|", *(f"| {name} | {figure} |" for name, figure in results)])
