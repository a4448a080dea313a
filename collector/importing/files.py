"""Files of other programs, read row by row: which program's a file is, how large, and its rows in pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine, inspect, text
from sqlalchemy.engine import URL, Inspector
from sqlalchemy.exc import SQLAlchemyError

from collector.errors import ImportFailed
from ledger import store
from ledger.errors import StoreError

Kind = Literal["CPA-Manager-Plus", "codex-usage", "codex-lb"]
TABLES: Mapping[str, Kind] = {
    "usage_events": "CPA-Manager-Plus",
    "request_logs": "codex-lb",
    "event_log": "codex-usage",
}
"""The table of requests by which each program's database is known."""

PAGE = 1_000
MAX_LINE = 4 * 1024 * 1024
_SQLITE = b"SQLite format 3\0"

Row = Mapping[str, Any] | None
"""Columns by their names; None for what is no JSON object."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows.

    Attributes:
        done: how much of the file they end at, in the file's own measure.
    """

    rows: Sequence[Row]
    done: int


@dataclass(frozen=True, slots=True)
class File:
    """One file, or one database, to import.

    Attributes:
        kind: whose it is; None where it holds accounts alone.
        size: rows of a database, bytes of a text.
        pages: reads it from the beginning. Raises: ImportFailed.
        accounts: rows of its accounts.
    """

    name: str
    kind: Kind | None
    size: int
    pages: Callable[[], Iterator[Page]]
    accounts: Sequence[Mapping[str, Any]] = ()


def look(place: str) -> File:
    """What lies at a path, or at a `postgresql://` URL. Raises: ImportFailed."""
    if "://" in place:
        try:
            url = store.parse_url(place, "FILE")
        except StoreError as error:
            raise ImportFailed(str(error)) from error
        return _database(url, store.name_of(url))
    path = Path(place)
    try:
        with path.open("rb") as file:
            head = file.read(len(_SQLITE))
    except OSError as error:
        raise ImportFailed(f"{place}: {error.strerror or error}") from error
    return _database(store.sqlite_url(path), place) if head == _SQLITE else _lines(path)


def _lines(path: Path) -> File:
    """A text of JSON lines."""
    first = next(_rows_of_lines(path), None)
    if first is None or first[0] is None or "event_hash" not in first[0]:
        raise ImportFailed(
            f"{path}: neither a SQLite file nor CPA-Manager-Plus's JSONL export: "
            "its first line is no JSON object with an event_hash"
        )

    def pages() -> Iterator[Page]:
        found = _rows_of_lines(path)
        while part := list(islice(found, PAGE)):
            yield Page([row for row, _ in part], part[-1][1])

    return File(str(path), "CPA-Manager-Plus", path.stat().st_size, pages)


def _rows_of_lines(path: Path) -> Iterator[tuple[Row, int]]:
    """Each line that is not empty, and the place where it ends."""
    try:
        with path.open("rb") as file:
            done = 0
            while line := file.readline(MAX_LINE):
                done += len(line)
                if line.strip():
                    yield _object(line), done
    except OSError as error:
        raise ImportFailed(f"{path}: {error.strerror or error}") from error


def _object(line: bytes) -> Row:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _database(url: URL, name: str) -> File:
    engine = store.reader(url)
    try:
        with _translated(name):
            inspector = inspect(engine)
            present = {*inspector.get_table_names(), *inspector.get_view_names()}
            _refuse_our_own(name, present)
            table = next((found for found in TABLES if found in present), None)
            accounts = _accounts(engine, inspector) if "accounts" in present else ()
            if table is None:
                if not accounts:
                    raise ImportFailed(f"{name}: has none of the tables {', '.join(TABLES)}")
                return File(name, None, 0, lambda: iter(()), accounts)
            with engine.connect() as connection:
                size = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()  # noqa: S608
        return File(name, TABLES[table], size, lambda: _pages(url, name, table), accounts)
    finally:
        engine.dispose()


def _refuse_our_own(name: str, present: set[str]) -> None:
    if "request_rows" in present or {"alembic_version", "daily_stats", "event_log"} <= present:
        raise ImportFailed(f"{name}: is a ledger of Quotascope itself")


def _accounts(engine: Engine, inspector: Inspector) -> Sequence[Mapping[str, Any]]:
    """What is known of accounts; their tokens are not read."""
    wanted = ("id", "email", "alias", "plan_type", "status", "delete_requested_at")
    there = {column["name"] for column in inspector.get_columns("accounts")}
    names = [name for name in wanted if name in there]
    if "id" not in names:
        return ()
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT {', '.join(names)} FROM accounts")).mappings()  # noqa: S608
        return [dict(row) for row in rows]


def _pages(url: URL, name: str, table: str) -> Iterator[Page]:
    """All rows in the order of their numbers. Each page is a read of its own: nobody waits for us."""
    key = "rowid" if url.get_backend_name() == "sqlite" else "id"
    query = text(
        f"SELECT {key} AS row_number_there, {table}.* FROM {table} "  # noqa: S608
        f"WHERE {key} > :after ORDER BY {key} LIMIT {PAGE}"
    )
    engine, after, done = store.reader(url, busy_timeout_seconds=10), -(2**63), 0
    try:
        while True:
            with _translated(name), engine.connect() as connection:
                rows = [dict(row) for row in connection.execute(query, {"after": after}).mappings()]
            if not rows:
                return
            after, done = rows[-1]["row_number_there"], done + len(rows)
            yield Page(rows, done)
    finally:
        engine.dispose()


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise ImportFailed(f"{name}: cannot be read: {reason}") from error
