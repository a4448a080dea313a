"""The metrics' sums as the inbox keeps them, in the transaction that settles the events they count."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from functools import lru_cache

from collector.counting import Increments, Key
from metrics.collector import EVENTS


def add(connection: sqlite3.Connection, increments: Increments) -> None:
    """Raise the stored sums, in the caller's transaction."""
    connection.executemany(
        "INSERT INTO sums VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
        [(name, _text(labels), value) for (name, labels), value in increments.items()],
    )


@lru_cache(maxsize=4096)
def _text(labels: tuple[str, ...]) -> str:
    return json.dumps(labels)


def read(connection: sqlite3.Connection) -> Mapping[Key, float]:
    rows = connection.execute("SELECT family, labels, value FROM sums").fetchall()
    return {(name, tuple(json.loads(labels))): value for name, labels, value in rows}


def events(connection: sqlite3.Connection) -> Mapping[str, int]:
    """How many events of each gateway have come here."""
    query = "SELECT labels, value FROM sums WHERE family = ?"
    found: dict[str, float] = {}
    for labels, value in connection.execute(query, (EVENTS.name,)).fetchall():
        name = json.loads(labels)[0]
        found[name] = found.get(name, 0) + value
    return {name: round(number) for name, number in found.items()}
