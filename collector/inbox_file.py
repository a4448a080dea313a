"""The inbox's file: its tables, and how it is opened."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

APPLICATION_ID = 0x51534349
"""Marks the file as ours."""

_SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
CREATE TABLE IF NOT EXISTS items (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway TEXT NOT NULL,
    channel TEXT NOT NULL,
    transport TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    twin INTEGER NOT NULL DEFAULT 0,
    state INTEGER NOT NULL DEFAULT 0,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS items_by_fingerprint ON items (fingerprint);
CREATE INDEX IF NOT EXISTS items_pending ON items (seq) WHERE state = 0;
CREATE INDEX IF NOT EXISTS items_undecodable ON items (seq) WHERE state = 2;
CREATE TABLE IF NOT EXISTS problems (seq INTEGER PRIMARY KEY, problem TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS gateways (
    name TEXT PRIMARY KEY,
    sound_at REAL,
    stopped_at REAL,
    draining INTEGER NOT NULL DEFAULT 0,
    blurred INTEGER NOT NULL DEFAULT 0,
    refused_at REAL,
    refusals INTEGER NOT NULL DEFAULT 0,
    counted INTEGER,
    last_event_at REAL,
    counted_events INTEGER
);
CREATE TABLE IF NOT EXISTS gaps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway TEXT NOT NULL,
    reason TEXT NOT NULL,
    began_at REAL NOT NULL,
    ended_at REAL,
    told INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS sums (
    family TEXT NOT NULL,
    labels TEXT NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY (family, labels)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


def open_file(path: Path, busy_timeout_seconds: float) -> sqlite3.Connection:
    """Open it, and make what is missing. Raises: sqlite3.Error, OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # what callers sent is nobody else's business
    os.close(descriptor)
    connection = sqlite3.connect(
        path, timeout=busy_timeout_seconds, isolation_level=None, check_same_thread=False
    )
    try:
        (number,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if number != APPLICATION_ID and tables:
            raise sqlite3.DatabaseError("the file holds something else; give the inbox a file of its own")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a power cut, too, costs nothing that was popped
        connection.execute("PRAGMA journal_size_limit = 16777216")
        connection.executescript(_SCHEMA)
        there = {row[1] for row in connection.execute("PRAGMA table_info(gateways)")}
        if "counted_events" not in there:  # a file of before there was this column
            connection.execute("ALTER TABLE gateways ADD COLUMN counted_events INTEGER")
    except BaseException:
        connection.close()
        raise
    return connection
