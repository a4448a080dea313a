"""The metrics' sums as the inbox keeps them, in the transaction that settles the events they count."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from functools import lru_cache

from collector.counting import Increments, Key


def add(connection: sqlite3.Connection, increments: Increments) -> None:
    """Raise the stored sums, in the caller's transaction."""
    connection.executemany(
        "INSERT INTO sums VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
        [(name, _text(labels), value) for (name, labels), value in increments.items()],
    )


@lru_cache(maxsize=4096)
def _text(labels: tuple[str, ...]) -> str:
    return json.dumps(labels)


def read(connection: sqlite3.Connection, family: str | None = None) -> Mapping[Key, float]:
    """All sums, or those of one family."""
    query, values = ("", ()) if family is None else (" WHERE family = ?", (family,))
    rows = connection.execute(f"SELECT family, labels, value FROM sums{query}", values).fetchall()  # noqa: S608
    return {(name, tuple(json.loads(labels))): value for name, labels, value in rows}
