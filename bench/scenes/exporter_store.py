"""A codex-lb store of any size, made by SQL alone: the exporter's benchmark reads it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

ACCOUNTS = 1_000
DAYS = 90
READINGS_DAYS = 14
READING_EVERY = timedelta(minutes=30)
WEEK = timedelta(days=7)

SCHEMA = """
CREATE TABLE accounts (
    id TEXT PRIMARY KEY, email TEXT NOT NULL, plan_type TEXT NOT NULL, status TEXT NOT NULL,
    delete_requested_at DATETIME
);
CREATE TABLE usage_history (
    id INTEGER PRIMARY KEY, account_id TEXT NOT NULL, recorded_at DATETIME NOT NULL, "window" TEXT,
    used_percent FLOAT NOT NULL, reset_at INTEGER, window_minutes INTEGER
);
CREATE TABLE request_logs (
    id INTEGER PRIMARY KEY, account_id TEXT, request_id TEXT NOT NULL, requested_at DATETIME NOT NULL,
    model TEXT NOT NULL, service_tier TEXT, input_tokens INTEGER, output_tokens INTEGER,
    cached_input_tokens INTEGER, reasoning_tokens INTEGER, latency_ms INTEGER, status TEXT NOT NULL,
    error_code TEXT, deleted_at DATETIME
);
"""

INDEXES = """
CREATE INDEX idx_usage_recorded_at ON usage_history (recorded_at);
CREATE INDEX idx_usage_account_time ON usage_history (account_id, recorded_at);
CREATE INDEX idx_logs_account_time ON request_logs (account_id, requested_at);
CREATE INDEX idx_logs_requested_at_id ON request_logs (requested_at DESC, id DESC);
CREATE INDEX idx_logs_deleted_at_requested_at_id ON request_logs (deleted_at, requested_at DESC, id DESC);
"""

_COUNT = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :rows)"
_MIXED = "(i * 2654435761 % 4294967296)"
"""A number below 2^32 that looks random: Knuth's multiplicative hash of the row's number."""

FILL_ACCOUNTS = f"""
{_COUNT} INSERT INTO accounts SELECT printf('acc-%04d', i), printf('user-%04d@example.com', i),
    CASE i % 3 WHEN 0 THEN 'pro' ELSE 'plus' END, 'active', NULL FROM n
"""

FILL_REQUESTS = f"""
{_COUNT} INSERT INTO request_logs SELECT
    i + 1, printf('acc-%04d', {_MIXED} % :accounts), 'req_' || i,
    strftime('%Y-%m-%d %H:%M:%f', :start + i * :step, 'unixepoch'),
    CASE {_MIXED} / 1000 % 5 WHEN 0 THEN 'gpt-5.5' WHEN 1 THEN 'gpt-5.4' WHEN 2 THEN 'gpt-5.3-codex'
        WHEN 3 THEN 'gpt-5.4-mini' ELSE 'gpt-5.6-sol' END,
    CASE {_MIXED} / 7000 % 10 WHEN 0 THEN 'priority' ELSE NULL END,
    1000 + {_MIXED} / 100 % 60000, 50 + {_MIXED} / 300 % 3000, {_MIXED} / 100 % 60000 / 2,
    {_MIXED} / 500 % 40,
    500 + {_MIXED} % 20000, CASE {_MIXED} / 9000 % 50 WHEN 0 THEN 'error' ELSE 'success' END, NULL, NULL
FROM n
"""

FILL_READINGS = f"""
{_COUNT}, at(account, moment, week) AS (
    SELECT i % :accounts, :start + i / :accounts * :every,
        (CAST(:start + i / :accounts * :every AS INTEGER) + i % :accounts * 600) / 604800 FROM n
), slot(name, minutes) AS (VALUES ('primary', 300), ('secondary', 10080))
INSERT INTO usage_history (account_id, recorded_at, "window", used_percent, reset_at, window_minutes)
SELECT printf('acc-%04d', account), strftime('%Y-%m-%d %H:%M:%f', moment, 'unixepoch'), name,
    CAST((moment + account * 600) % 604800 / 604800.0 * 80 AS INTEGER),
    (week + 1) * 604800 - account * 600 + account % 20, minutes
FROM at, slot
"""


def make(path: Path, rows: int, now: datetime) -> None:
    """Write a store whose requests lie evenly over the last 90 days."""
    start = (now - timedelta(days=DAYS)).timestamp()
    readings = int(timedelta(days=READINGS_DAYS) / READING_EVERY) * ACCOUNTS
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;" + SCHEMA)
        store.execute("BEGIN")
        store.execute(FILL_ACCOUNTS, {"rows": ACCOUNTS})
        step = timedelta(days=DAYS).total_seconds() / rows
        store.execute(FILL_REQUESTS, {"rows": rows, "accounts": ACCOUNTS, "start": start, "step": step})
        recent = (now - timedelta(days=READINGS_DAYS)).timestamp()
        every = READING_EVERY.total_seconds()
        store.execute(
            FILL_READINGS, {"rows": readings, "accounts": ACCOUNTS, "start": recent, "every": every}
        )
        store.execute("COMMIT")
        store.executescript(INDEXES)


def append(store: sqlite3.Connection, rows: int) -> None:
    """Add requests that end now, one of each of the first accounts."""
    ended = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    store.executemany(
        "INSERT INTO request_logs (account_id, request_id, requested_at, model, input_tokens, output_tokens,"
        " status) VALUES (?, 'new', ?, 'gpt-5.5', 1000, 100, 'success')",
        [(f"acc-{number:04}", ended) for number in range(rows)],
    )


DELETE_ONE = """
DELETE FROM request_logs WHERE id = (
    SELECT id FROM request_logs r WHERE status = 'success' AND requested_at >= :since AND requested_at >= (
        SELECT strftime('%Y-%m-%d %H:%M:%f', max(reset_at) - 604800, 'unixepoch') FROM usage_history u
        WHERE u.account_id = r.account_id AND "window" = 'secondary'
    ) ORDER BY requested_at LIMIT 1
) RETURNING account_id
"""
"""Delete the first request since a moment that its account's cycle counts."""


def delete_one(store: sqlite3.Connection, since: datetime) -> str:
    """Delete a request of an old page; the account that made it."""
    found = store.execute(DELETE_ONE, {"since": since.strftime("%Y-%m-%d %H:%M:%S")}).fetchall()
    return str(found[0][0])


NAIVE = """
SELECT r.account_id, r.model, r.service_tier, date(r.requested_at), count(*), sum(input_tokens),
    sum(min(cached_input_tokens, input_tokens)), sum(coalesce(output_tokens, reasoning_tokens))
FROM request_logs r JOIN (
    SELECT account_id, max(reset_at) - 604800 AS start FROM usage_history
    WHERE "window" = 'secondary' AND recorded_at >= :since GROUP BY account_id
) cycle ON cycle.account_id = r.account_id
WHERE r.requested_at >= strftime('%Y-%m-%d %H:%M:%f', cycle.start, 'unixepoch') AND r.deleted_at IS NULL
    AND r.input_tokens <= 272000 GROUP BY 1, 2, 3, 4
"""
"""What a scrape costs that sums everything again, before a single price is applied."""


def naive(store: sqlite3.Connection, now: datetime) -> int:
    """Sum all cycles again; how many sums there are."""
    since = (now - WEEK).strftime("%Y-%m-%d %H:%M:%S")
    return len(store.execute(NAIVE, {"since": since}).fetchall())
