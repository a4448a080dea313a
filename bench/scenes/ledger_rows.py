"""An invented ledger of many requests, written straight into its tables: ten million in some minutes.

Keys, models and conversations are those of `ledger_store`. Rows are written in the order of time, and their
sums are made of them by SQL, day by day.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Table

from bench.scenes.ledger_store import ACCOUNTS, AGENTS, DAYS, ERRORS, KEYS, MODELS, NAMES
from ledger.columns import micros
from ledger.pricing.steps import context_step
from ledger.request_tables import COUNT_COLUMNS, FIRST_TOKEN, LATENCY
from ledger.requests.dictionaries import digest
from ledger.requests.sums.histogram import bucket
from ledger.requests.sums.rollups import HOUR
from ledger.schema import request_callers, request_details, request_kinds, request_sessions
from ledger.store import migrate, sqlite_url, writer

DAY = 24 * HOUR
AT_ONCE = 200_000
POOL = 65_536
"""Sizes and durations drawn beforehand; rows take them in turn."""

_COLUMNS = (
    *("event_id", "at", "caller_id", "kind_id", "detail_id", "session_number", "request_id"),
    *("upstream_request_id", "input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens"),
    *("latency_ms", "latency_first_token_ms", "error_message"),
)


class _Texts:
    """Texts that are stored once, numbered as they come."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def number(self, *values: Any) -> int:
        return self.numbers.setdefault(values, len(self.numbers) + 1)


class _Key:
    """One caller: its key, its models, and the conversation that it is in."""

    def __init__(self, dice: random.Random, number: int) -> None:
        self.id, self.project = f"sk-{number:04d}...{number:04x}", f"project-{number % 40}"
        favourites = dice.choices(range(MODELS), [1 / (rank + 1) for rank in range(MODELS)], k=4)
        self.models = [NAMES[place] for place in favourites]
        self.agent = dice.choice(AGENTS)
        self.accounts = [f"account-{dice.randrange(ACCOUNTS):03d}@example.com" for _ in range(4)]
        self.left = 0
        self.caller = self.session = 0
        self.model, self.ends, self.known = "", [0], dict[Any, int]()


class Maker:
    """Makes rows: the numbers of their texts are given out on the way."""

    def __init__(self, seed: int = 1) -> None:
        self.dice = dice = random.Random(seed)
        self.keys = [_Key(dice, n) for n in range(KEYS)]
        self.inputs = [int(dice.lognormvariate(9, 1.2)) for _ in range(POOL)]
        self.steps = [context_step(size) for size in self.inputs]
        self.outputs = [int(dice.expovariate(1 / 600)) for _ in range(POOL)]
        self.latencies = [round(dice.lognormvariate(8.3, 0.8), 3) for _ in range(POOL)]
        self.callers, self.kinds, self.details, self.sessions = (_Texts() for _ in range(4))

    def texts(self) -> tuple[tuple[Table, _Texts], ...]:
        """The texts of the rows made so far, with their tables."""
        tables = (request_callers, request_kinds, request_details, request_sessions)
        return tuple(zip(tables, (self.callers, self.kinds, self.details, self.sessions), strict=True))

    def rows(self, first: int, number: int, start: int, step: float) -> Iterator[tuple[Any, ...]]:
        """So many rows, from a number and a moment (microseconds) on."""
        dice, chance = self.dice, self.dice.random
        weights = [1 / (rank + 3) for rank in range(KEYS)]
        chosen = dice.choices(self.keys, weights, k=number)
        for count, key in enumerate(chosen, first):
            if not key.left:
                self._talk(key)
            key.left -= 1
            drawn = int(chance() * POOL)
            size, luck = self.inputs[drawn], chance()
            latency = self.latencies[count * 7 % POOL]
            outcome = 3 if luck > 0.985 else int(luck * 100) if luck < 0.03 else 4
            above = -1 if outcome < 3 else self.steps[drawn]
            name = (outcome, luck > 0.95, above)
            known = key.known.get(name)
            if known is None:
                known = key.known[name] = self._kind(key, *name)
            failed = outcome < 3
            yield (
                bytes.fromhex(f"5eed{count:028x}"),
                start + int((count - first) * step),
                key.caller,
                known,
                key.ends[0 if failed else 1 if outcome == 3 else 2],
                key.session,
                dice.randbytes(16),
                f"req_{dice.getrandbits(96):024x}",
                *((None,) * 4 if failed else (size, self.outputs[count % POOL], int(size * chance()), 120)),
                latency,
                None if failed else latency * 0.2,
                "The provider said that it could not." if failed else None,
            )

    def _talk(self, key: _Key) -> None:
        dice = self.dice
        key.left = dice.randrange(5, 60)
        key.session = self.sessions.number(f"{dice.getrandbits(128):032x}")
        key.model, account = dice.choice(key.models), dice.choice(key.accounts)
        effort = dice.choice(["low", "medium", "high"])
        key.caller = self.callers.number("proxy-1", "proxy", None, account, key.id, key.project, None)
        ends = ("upstream_error", "client_gone", "done")
        key.ends = [self.details.number(key.agent, effort, "/v1/responses", end, "normal") for end in ends]
        key.known = {}

    def _kind(self, key: _Key, outcome: int, flex: bool, above: int) -> int:
        http, code, kind = ERRORS[outcome] if outcome < 3 else (200, None, None)
        status = "error" if outcome < 3 else "cancelled" if outcome == 3 else "success"
        tier = "flex" if flex else "default"
        priced = ("openai", key.model, key.model, tier, None, None)
        return self.kinds.number(*priced, "responses", status, http, kind, code, True, above)


_SUMS = """
INSERT INTO request_hourly (hour, caller_id, kind_id, requests, metered, unmetered,
    reasoning_tokens, {counts})
SELECT at / {hour}, caller_id, kind_id, count(*), count(input_tokens), 0, coalesce(sum(reasoning_tokens), 0),
    coalesce(sum(input_tokens), 0), coalesce(sum(cached_input_tokens), 0), 0, 0,
    coalesce(sum(output_tokens), 0), 0, 0, 0, 0, 0, 0, 0, 0, 0
FROM request_rows WHERE at >= :since AND at < :until GROUP BY 1, 2, 3;
INSERT INTO request_durations (hour, kind_id, measure, bucket, number)
SELECT at / {hour}, kind_id, {latency}, bucket(latency_ms), count(*)
FROM request_rows WHERE at >= :since AND at < :until GROUP BY 1, 2, 4;
INSERT INTO request_durations (hour, kind_id, measure, bucket, number)
SELECT at / {hour}, kind_id, {first_token}, bucket(latency_first_token_ms), count(*)
FROM request_rows WHERE at >= :since AND at < :until AND latency_first_token_ms IS NOT NULL GROUP BY 1, 2, 4;
INSERT INTO daily_stats (day, provider, model, service_tier, context_above, requests, errors, cancelled,
    successes, metered, unmetered_successes, reasoning_tokens, {counts})
SELECT date(:since / 1000000, 'unixepoch'), provider, model, service_tier, context_above, sum(requests),
    sum(requests * (status = 'error')), sum(requests * (status = 'cancelled')),
    sum(requests * (status = 'success')), sum(metered), sum(unmetered), sum(reasoning_tokens), {sums}
FROM request_hourly JOIN request_kinds ON request_kinds.id = kind_id
WHERE hour >= :since / {hour} AND hour < :until / {hour} GROUP BY 2, 3, 4, 5
"""
"""The sums of one day. No row writes to a cache or has audio, images and units, and all parts fit."""


def fill(path: Path, rows: int, end: datetime, *, seed: int = 1) -> None:
    """Write a ledger whose requests lie evenly over the days before a moment."""
    engine = writer(sqlite_url(path))
    migrate(engine)
    engine.dispose()
    maker, step = Maker(seed), DAYS * DAY / rows
    start = micros(end - timedelta(days=DAYS))
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.executescript("PRAGMA synchronous=OFF; PRAGMA cache_size=-400000;")
        indexes = _drop_indexes(store)
        for first in range(0, rows, AT_ONCE):
            made = maker.rows(first, min(AT_ONCE, rows - first), start + int(first * step), step)
            _write(store, "request_rows", _COLUMNS, made)
        for table, texts in maker.texts():
            numbered = ((number, digest(values), *values) for values, number in texts.numbers.items())
            _write(store, table.name, [column.name for column in table.columns], numbered)
        for index in indexes:
            store.execute(index)
        _sum_up(store, start // DAY * DAY, micros(end))


def _write(
    store: sqlite3.Connection, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    marks = ", ".join("?" for _ in columns)
    store.execute("BEGIN")
    store.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
    store.execute("COMMIT")


def _drop_indexes(store: sqlite3.Connection) -> list[str]:
    """Indexes are made faster when all is there."""
    made = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'request_rows' AND sql <> ''"
    )
    found = store.execute(made).fetchall()
    for name, _ in found:
        store.execute(f"DROP INDEX {name}")
    return [sql for _, sql in found]


def _sum_up(store: sqlite3.Connection, first: int, end: int) -> None:
    store.create_function("bucket", 1, bucket, deterministic=True)
    counts = list(COUNT_COLUMNS.values())
    texts = {"counts": ", ".join(counts), "sums": ", ".join(f"sum({name})" for name in counts)}
    script = _SUMS.format(hour=HOUR, latency=LATENCY, first_token=FIRST_TOKEN, **texts)
    for since in range(first, end, DAY):
        store.execute("BEGIN")
        for statement in script.split(";"):
            store.execute(statement, {"since": since, "until": since + DAY})
        store.execute("COMMIT")
