"""The metrics' sums as the inbox keeps them, in the transaction that settles the events they count."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping

from collector.counting import Increments, Key


def add(connection: sqlite3.Connection, increments: Increments) -> None:
    """Raise the stored sums, in the caller's transaction."""
    connection.executemany(
        "INSERT INTO sums VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
        [(name, json.dumps(labels), value) for (name, labels), value in increments.items()],
    )


def read(connection: sqlite3.Connection) -> Mapping[Key, float]:
    """All sums."""
    rows = connection.execute("SELECT family, labels, value FROM sums").fetchall()
    return {(name, tuple(json.loads(labels))): value for name, labels, value in rows}
