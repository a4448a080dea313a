"""Beside an owner that writes five hundred requests a second: with many scrapes, and while much is loaded."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from exporter.scrape import Scrape

SECONDS = 15
SCRAPES_PER_SECOND = 4
PER_SECOND = 500
ACCOUNTS = 10

OWNER = """
import sqlite3, sys, time
from datetime import datetime, timezone
path, mode, patience, *numbers = sys.argv[1:]
seconds, per_second, accounts = map(int, numbers)
store = sqlite3.connect(path, isolation_level=None, timeout=float(patience))
store.executescript(f"PRAGMA journal_mode={mode}; PRAGMA synchronous=OFF")
print("ready", flush=True)
begin, written, slowest = time.monotonic(), 0, 0.0
while written < seconds * per_second:
    due = min(seconds * per_second, int((time.monotonic() - begin) * per_second) + 1)
    if due > written:
        ended = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")
        rows = [(f"a{n % accounts}", f"r{n}", ended) for n in range(written, due)]
        at = time.monotonic()
        store.execute("BEGIN IMMEDIATE")
        store.executemany("INSERT INTO request_logs (account_id, request_id, requested_at, model,"
            " input_tokens, output_tokens, status) VALUES (?, ?, ?, 'gpt-5.5', 1000, 100, 'success')", rows)
        store.execute("COMMIT")
        slowest = max(slowest, time.monotonic() - at)
        written = due
    time.sleep(0.01)
print(written, slowest, flush=True)
"""

SCHEMA = f"""
CREATE TABLE accounts (id TEXT PRIMARY KEY, email TEXT, plan_type TEXT, status TEXT);
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < {ACCOUNTS})
    INSERT INTO accounts (id, status) SELECT 'a' || i, 'active' FROM n;
CREATE TABLE usage_history (id INTEGER PRIMARY KEY, account_id TEXT, recorded_at DATETIME, "window" TEXT,
    used_percent FLOAT, reset_at INTEGER, window_minutes INTEGER);
CREATE TABLE request_logs (id INTEGER PRIMARY KEY, account_id TEXT, request_id TEXT, requested_at DATETIME,
    model TEXT, input_tokens INTEGER, output_tokens INTEGER, status TEXT);
CREATE INDEX idx_logs_account_time ON request_logs (account_id, requested_at);
"""


def at_work(path: Path, mode: str, patience: float, seconds: int) -> subprocess.Popen[str]:
    """An owner that writes; it waits for locks of others for as long as its patience goes, in seconds."""
    arguments = [str(path), mode, str(patience), str(seconds), str(PER_SECOND), str(ACCOUNTS)]
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    return owner


def test_neither_side_is_locked_out_and_the_totals_are_exact(
    tmp_path: Path,
    taker: Callable[..., Callable[[], Scrape]],
    values: Callable[[Scrape], dict[tuple[str, ...], float]],
) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.executescript(SCHEMA)
    owner = at_work(path, "WAL", patience=0, seconds=SECONDS)  # a lock of somebody else is an error
    take, spent = taker(store=f"codex-lb:{path}"), [0.0]
    begin = time.monotonic()
    while owner.poll() is None:
        taken = take()
        assert taken.failed == ()
        spent.append(sum(v for k, v in values(taken).items() if k[0] == "codex_lb_proxy_account_cost_usd_7d"))
        time.sleep(max(0.0, begin + (len(spent) - 1) / SCRAPES_PER_SECOND - time.monotonic()))
    out, err = owner.communicate(timeout=30)
    assert (owner.returncode, err) == (0, "")  # no `database is locked`
    assert int(out.split()[0]) == SECONDS * PER_SECOND
    assert spent == sorted(spent)
    assert len(set(spent)) > SCRAPES_PER_SECOND * SECONDS / 4  # each scrape saw what had come
    each = SECONDS * PER_SECOND / ACCOUNTS * (1_000 * 5 + 100 * 30) / 1e6
    found = values(take())
    for number in range(ACCOUNTS):
        assert found["codex_lb_proxy_account_cost_usd_7d", f"a{number}"] == pytest.approx(each, rel=1e-12)


LOADED = 150_000
FILL = """
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :rows)
INSERT INTO request_logs SELECT i + 1, 'a' || (i % :accounts), i,
    strftime('%Y-%m-%d %H:%M:%f', :now - 600000.0 * (:rows - i) / :rows, 'unixepoch'),
    'gpt-5.5', 1000, 100, 'success' FROM n
"""


@pytest.mark.slow
def test_no_commit_waits_for_a_first_load_longer_than_its_owner_has_patience(
    tmp_path: Path,
    taker: Callable[..., Callable[[], Scrape]],
    values: Callable[[Scrape], dict[tuple[str, ...], float]],
) -> None:
    """With a rollback journal, where a reader keeps its owner from committing."""
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.executescript("PRAGMA synchronous=OFF;" + SCHEMA)
        store.execute(FILL, {"rows": LOADED, "accounts": ACCOUNTS, "now": time.time()})
    owner, loads = at_work(path, "DELETE", patience=1, seconds=8), 0
    while owner.poll() is None:
        taken = taker(store=f"codex-lb:{path}")()  # each of them loads all from the start
        assert taken.failed == ()
        loads += 1
    out, err = owner.communicate(timeout=30)
    assert (owner.returncode, err) == (0, "")  # no commit was given up
    assert loads
    rows = LOADED + int(out.split()[0])
    found = values(taker(store=f"codex-lb:{path}")())
    spent = sum(v for k, v in found.items() if k[0] == "codex_lb_proxy_account_cost_usd_7d")
    assert spent == pytest.approx(rows * (1_000 * 5 + 100 * 30) / 1e6, rel=1e-9)
