"""How fast the ledger takes requests and answers questions about them, on SQLite and on PostgreSQL.

Insertion, size, and the questions of the monitoring page beside a naive GROUP BY over the rows, in one run.
Each question is asked of a memory that is empty at first, then again and again.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

from sqlalchemy import URL, Connection, Engine, func, select

from bench.outbox import server
from bench.scenes.drawn_filters import drawn
from bench.scenes.ledger_rows import fill
from bench.scenes.ledger_server import copy
from bench.scenes.ledger_store import END, batches
from ledger.pricing.files import book, load_seed
from ledger.reader.day_file import SUFFIX, DayFile, file_of
from ledger.requests import queries
from ledger.requests.filter import RequestFilter
from ledger.requests.limits import Limit, asking
from ledger.requests.totals.remembered import keep_days
from ledger.requests.writes import record
from ledger.schema import request_logs, request_rows
from ledger.store import migrate, parse_url, reader, sqlite_url, writer
from settings.lifetime import set_limits

ROUNDS = 20
INSERTED = 100_000
DRAWN = 200
_DRAWN = "pages of 100 rows, 7 d, three filters drawn at random, each asked first"
NAIVE = "the same by a naive GROUP BY"
"""Nothing of it is remembered, and it takes long: it is asked once."""

Question = Callable[[Connection], Any]


def measure(made: Path | None, rows: int, database: str | None = None) -> Iterator[tuple[str, str]]:
    """What was measured, and the figure.

    Args:
        made: a ledger to ask; None: one of so many rows is made.
        database: the URL of a PostgreSQL that holds the same already, which alone is asked; None: one is
            started, and gets what the SQLite ledger has.
    """
    set_limits()  # as services do
    if database is not None:
        yield from _asked(parse_url(database), "PostgreSQL")
        return
    with TemporaryDirectory() as folder:
        yield from _inserted(sqlite_url(Path(folder, "inserted.db")), "SQLite")
        path = made or Path(folder, "usage.db")
        if made is None:
            fill(path, rows, END)
        yield from _asked(sqlite_url(path), "SQLite")
        with _started() as url:
            yield from _inserted(url, "PostgreSQL")
        with _started() as url:
            copy(path, url)
            yield from _asked(url, "PostgreSQL")


@contextmanager
def _started() -> Iterator[URL]:
    with server() as (url, control):
        subprocess.run([*control, "start"], check=True, stdout=subprocess.DEVNULL)
        try:
            yield parse_url(url)
        finally:
            subprocess.run([*control, "stop", "-m", "immediate"], check=False)


def _asked(url: URL, where: str) -> Iterator[tuple[str, str]]:
    """Each question while nothing of it is remembered, then again."""
    engine = reader(url)
    with engine.connect() as connection:
        number, newest = connection.execute(select(func.count(), func.max(request_rows.c.at))).one()
    engine.dispose()
    size = f", {Path(url.database or '').stat().st_size / number:.0f} bytes each" if where == "SQLite" else ""
    yield f"{where}: requests", f"{number:,}{size}"
    for name, question in _questions(newest).items():
        yield f"{where}: {name}", _figures(url, question, 0 if NAIVE in name else ROUNDS)
    yield f"{where}: {DRAWN} {_DRAWN}", _drawn(url, newest, None)
    with TemporaryDirectory() as folder:
        yield from _with_days(url, where, newest, Path(folder, "usage.db"))


def _drawn(url: URL, newest: datetime, place: Callable[[Engine], DayFile | None] | None) -> str:
    """Each page for the first time.

    Args:
        place: where the engine's ledger has its days; None: nowhere.
    """
    prices, taken = book(load_seed()), []
    for where in drawn(RequestFilter(newest - timedelta(days=7), newest), DRAWN):
        engine = reader(url)
        if place is not None:
            keep_days(engine, partial(place, engine))
        taken.append(_seconds(engine, partial(queries.page, where=where, book=prices)))
        engine.dispose()
    clock, cpu = (sorted(1_000 * one[number] for one in taken) for number in (0, 1))
    clock_text, cpu_text = (
        f"p50 {some[DRAWN // 2]:,.0f} ms, p95 {some[DRAWN * 95 // 100]:,.0f}, longest {some[-1]:,.0f}"
        for some in (clock, cpu)
    )
    return f"{clock_text}; CPU {cpu_text}"


def _figures(url: URL, question: Question, rounds: int) -> str:
    engine = reader(url)
    try:
        first, *taken = (_seconds(engine, question) for _ in range(rounds + 1))
    finally:
        engine.dispose()
    said = f"first {first[0] * 1_000:,.0f} ms, CPU {first[1] * 1_000:,.0f}"
    if not taken:
        return said
    clock, cpu = ([1_000 * one[place] for one in taken] for place in (0, 1))
    p95 = statistics.quantiles(clock, n=20)[-1]
    return f"p50 {statistics.median(clock):.0f} ms, p95 {p95:.0f}, CPU {statistics.median(cpu):.0f}; {said}"


def _with_days(url: URL, where: str, newest: datetime, beside: Path) -> Iterator[tuple[str, str]]:
    """The first time of a process that finds the days which the page has kept.

    Args:
        beside: where these of a ledger on a server are kept.
    """
    folder = Path(f"{beside if where == 'PostgreSQL' else url.database}{SUFFIX}")
    was_there = folder.exists()
    try:
        for name, question in _questions(newest).items():
            if ("top" in name or "the same, with" in name) and NAIVE not in name:
                for _ in range(2):
                    engine = reader(url)
                    keep_days(engine, partial(file_of, url, True, beside=beside, engine=engine))
                    taken, again = _seconds(engine, question), _seconds(engine, question)
                    engine.dispose()
                figure = f"first {taken[0] * 1_000:,.0f} ms, CPU {taken[1] * 1_000:,.0f}"
                figure += f"; then {again[0] * 1_000:,.0f} ms, CPU {again[1] * 1_000:,.0f}"
                yield f"{where}: {name}, with the page's days", figure
        figure = _drawn(url, newest, lambda engine: file_of(url, True, beside=beside, engine=engine))
        yield f"{where}: {DRAWN} {_DRAWN}, with the page's days", figure
    finally:
        if not was_there:
            shutil.rmtree(folder, ignore_errors=True)


def _inserted(url: URL, where: str) -> Iterator[tuple[str, str]]:
    engine, clock, cpu = writer(url), 0.0, 0.0
    migrate(engine)
    for batch in batches(INSERTED):
        began, worked = perf_counter(), process_time()
        with engine.begin() as connection:
            record(connection, batch)
        clock, cpu = clock + perf_counter() - began, cpu + process_time() - worked
    engine.dispose()
    rate = f"{INSERTED / clock:,.0f} events/s, {INSERTED / cpu:,.0f} a CPU second"
    yield f"{where}: insert, sums included", rate


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
    found["the same, with a latency that none has"] = lambda c: queries.page(c, slow, prices)
    lost = replace(week, text="nowhere to be found", status=("success",), provider=("openai",))
    found["the same, with a text that is nowhere"] = lambda c: queries.page(c, lost, prices)
    month = RequestFilter(end - timedelta(days=30), end)
    found["percentiles by model, 30 d"] = lambda c: queries.by(c, month, "model", prices, durations=True)
    return found


def _overview(where: RequestFilter, prices: Any) -> Question:
    asked = count()

    def ask(connection: Connection) -> None:
        back = timedelta(seconds=next(asked))  # as for a page that follows the clock, each time other rows
        assert where.since and where.until
        moved = where.between(where.since - back, where.until - back)
        queries.totals(connection, moved, prices, durations=False)
        for dimension in ("account_id", "api_key_id"):
            queries.by(connection, moved, dimension, prices)

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
