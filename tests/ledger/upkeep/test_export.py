"""Exports: every row of a filter, in three formats, without holding anybody up."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow.parquet
import pytest
from sqlalchemy import Engine, text

from ledger.errors import TooSlow
from ledger.pricing.files import current_book
from ledger.requests import queries
from ledger.requests.filter import RequestFilter
from ledger.requests.limits import Limit, asking
from ledger.requests.writes import record
from ledger.store import reader
from ledger.upkeep import exporting
from ledger.upkeep.exporting import Texts, batches
from ledger.upkeep.formats import FIELDS, FORMATS
from ledger.values import RequestEvent, Usage
from tests.ledger.conftest import NOON

BOOK = current_book({})
NOW = NOON + timedelta(days=40)


@pytest.fixture
def filled(ledger: Engine, make_event: Callable[..., RequestEvent]) -> Engine:
    made = [
        make_event(
            requested_at=NOON + timedelta(hours=7 * n, microseconds=n),
            provider="openai",
            model=("gpt-5.6-sol", "no-such-model")[n % 4 == 0],
            request_id=f"{n:032x}",
            trace_id=f"{n:032x}" if n % 3 else None,
            session_id=f"talk {n // 5}",
            status="error" if n % 5 == 0 else "success",
            error_message="refused: key sk-proj-abcdefghijklmnopqrstuvwxyz0123456789" if n % 5 == 0 else None,
            usage=Usage() if n % 5 == 0 else Usage(1_000 + n, 400, 200 + n, 50, 10, 5),
            user_agent='=cmd("x")\u2028\n' if n == 7 else "agent",
            extra_units={"web_search": Decimal(2)} if n == 8 else None,
            provider_cost_usd=Decimal("0.0123") if n == 9 else None,
        )
        for n in range(60)
    ]
    with ledger.begin() as connection:
        record(connection, made)
    return ledger


def exported(ledger: Engine, format: str, where: RequestFilter | None = None) -> bytes:
    target, texts = io.BytesIO(), Texts()
    engine = reader(ledger.url)
    try:
        writing = FORMATS[format](target, texts)
        for batch in batches(engine, where or RequestFilter(), BOOK, NOW, texts):
            writing.write(batch)
        writing.close()
        return target.getvalue()
    finally:
        engine.dispose()


def objects(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line, parse_float=Decimal) for line in data.decode().split("\n") if line]


def test_lines_say_what_the_rows_say(filled: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "ROWS_AT_ONCE", 7)
    lines = objects(exported(filled, "jsonl"))
    engine = reader(filled.url)
    with asking(engine) as connection:
        rows = list(queries.all_rows(connection, RequestFilter(), BOOK))[::-1]
    engine.dispose()
    assert len(lines) == len(rows) == 60
    for line, row in zip(lines, rows, strict=True):
        assert tuple(line) == FIELDS
        assert datetime.fromisoformat(line["requested_at"]) == row.requested_at
        for name in ("request_id", "trace_id", "session_id", "model", "user_agent", "status", "latency_ms"):
            assert line[name] == getattr(row, name)
        assert line["input_tokens"] == row.usage.input_tokens
        assert line["cache_write_1h_tokens"] == row.usage.cache_write_1h_tokens
        assert (None if line["cost_usd"] is None else Decimal(line["cost_usd"])) == row.cost_usd
        assert line["unpriced"] == (row.cost_usd is None and row.status == "success")
    assert lines[8]["extra_units"] == {"web_search": 2}
    assert lines[9]["provider_cost_usd"] == Decimal("0.0123")


def test_nothing_secret_leaves(filled: Engine) -> None:
    for format in ("jsonl", "csv"):
        data = exported(filled, format)
        assert b"refused: key" in data
        assert b"abcdefghijklmnopqrstuvwxyz0123456789" not in data


def test_csv_is_a_table_that_no_spreadsheet_computes(filled: Engine) -> None:
    head, *rows = csv.reader(io.StringIO(exported(filled, "csv").decode(), newline=""))
    assert tuple(head) == FIELDS
    lines = objects(exported(filled, "jsonl"))
    assert [row[FIELDS.index("input_tokens")] for row in rows] == [
        "" if line["input_tokens"] is None else str(line["input_tokens"]) for line in lines
    ]
    assert rows[7][FIELDS.index("user_agent")].startswith("'=cmd")
    assert rows[1][FIELDS.index("cost_usd")] == str(lines[1]["cost_usd"])


def test_a_cost_of_more_digits_than_a_column_has_is_rounded_to_them(
    ledger: Engine, make_event: Callable[..., RequestEvent]
) -> None:
    """Providers add up floating point numbers."""
    told = ("0.00014850000000000003", "1.2345678901234567E-10", "999999.99999999999")
    with ledger.begin() as connection:
        record(connection, [make_event(requested_at=NOON, provider_cost_usd=Decimal(cost)) for cost in told])
    table = pyarrow.parquet.read_table(io.BytesIO(exported(ledger, "parquet")))
    found = table.column("provider_cost_usd").to_pylist()
    assert found == [Decimal("0.000148500000000000"), Decimal("1.23456789E-10"), Decimal(told[2])]


def test_parquet_has_types(filled: Engine) -> None:
    table = pyarrow.parquet.read_table(io.BytesIO(exported(filled, "parquet")))
    lines = objects(exported(filled, "jsonl"))
    assert tuple(table.column_names) == FIELDS
    assert table.column("requested_at").to_pylist()[3] == NOON + timedelta(hours=21, microseconds=3)
    costs = [line["cost_usd"] for line in lines]
    assert table.column("cost_usd").to_pylist() == [None if c is None else Decimal(c) for c in costs]
    assert table.column("model").to_pylist() == [line["model"] for line in lines]


@pytest.mark.parametrize(
    "where",
    [
        RequestFilter(status=("error",)),
        RequestFilter(since=NOON + timedelta(days=2), until=NOON + timedelta(days=9)),
        RequestFilter(session_id=("talk 3",), model=("gpt-5.6-sol",)),
        RequestFilter(text="no-such"),
        RequestFilter(cache=("hit",), trace_id=(None,)),
        RequestFilter(model=("nobody",)),
    ],
)
@pytest.mark.slow
def test_every_filter(filled: Engine, where: RequestFilter) -> None:
    engine = reader(filled.url)
    with asking(engine) as connection:
        wanted = [row.request_id for row in queries.all_rows(connection, where, BOOK)][::-1]
    engine.dispose()
    assert [line["request_id"] for line in objects(exported(filled, "jsonl", where))] == wanted


def test_an_empty_ledger(ledger: Engine) -> None:
    assert exported(ledger, "jsonl") == b""
    assert exported(ledger, "csv").decode().strip() == ",".join(FIELDS)


def test_writing_goes_on_and_the_wal_is_not_held_between_steps(
    filled: Engine, make_event: Callable[..., RequestEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "ROWS_AT_ONCE", 5)
    engine = reader(filled.url)
    try:
        for _ in batches(engine, RequestFilter(), BOOK, NOW, Texts()):
            with filled.begin() as connection:
                record(connection, [make_event(requested_at=datetime(2026, 8, 21, tzinfo=UTC))])
            if filled.dialect.name == "sqlite":
                with filled.connect() as plain:
                    busy, pages, done = plain.execute(text("PRAGMA wal_checkpoint(RESTART)")).one()
                assert (busy, pages) == (0, done)  # all that is in it could be written back
    finally:
        engine.dispose()


def test_an_export_can_be_cancelled(filled: Engine) -> None:
    engine, limit = reader(filled.url), Limit(60)
    limit.cancel()
    with pytest.raises(TooSlow, match="cancelled"):
        list(batches(engine, RequestFilter(), BOOK, NOW, Texts(), limit))
    engine.dispose()
