"""No statement reads more of a large store than of a small one, whatever indexes its version has.

What is counted are steps of SQLite's virtual machine, and not seconds: the same on every machine.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from exporter.scrape import collectors, scrape
from exporter.source import Source
from exporter.stores import source
from metrics.exposition import Beginnings
from settings.model import Settings

pytestmark = pytest.mark.slow

GRAIN = 25
"""Steps after which SQLite calls back."""

ACCOUNTS = 4

OLD = """
CREATE INDEX idx_usage_recorded_at ON usage_history (recorded_at);
CREATE INDEX idx_usage_account_time ON usage_history (account_id, recorded_at);
CREATE INDEX idx_logs_account_time ON request_logs (account_id, requested_at);
"""
NEW = f"""{OLD}
CREATE INDEX idx_usage_window_account_time ON usage_history
    (coalesce("window", 'primary'), account_id, recorded_at);
CREATE INDEX idx_usage_window_raw_account_latest ON usage_history
    ("window", account_id, recorded_at DESC, id DESC);
CREATE INDEX idx_logs_requested_at_id ON request_logs (requested_at DESC, id DESC);
CREATE INDEX idx_logs_deleted_at_requested_at_id ON request_logs (deleted_at, requested_at DESC, id DESC);
CREATE INDEX idx_logs_dash_usage_covering ON request_logs (requested_at) WHERE deleted_at IS NULL;
CREATE INDEX idx_logs_requested_at_model_tier ON request_logs (requested_at DESC, model, service_tier);
"""
PARTIAL = f"""{OLD}
CREATE INDEX idx_logs_dash_usage_covering ON request_logs (requested_at) WHERE deleted_at IS NULL;
"""
OURS = """
CREATE INDEX idx_usage_account_window_time ON usage_history (account_id, "window", recorded_at);
CREATE INDEX idx_logs_account_time ON request_logs (account_id, requested_at);
CREATE INDEX idx_logs_requested_at ON request_logs (requested_at);
"""
NO_TIME = OLD.replace("CREATE INDEX idx_logs_account_time ON request_logs (account_id, requested_at);", "")

TABLES = """
CREATE TABLE accounts (id TEXT PRIMARY KEY, email TEXT, plan_type TEXT, status TEXT);
CREATE TABLE usage_history (id INTEGER PRIMARY KEY, account_id TEXT NOT NULL, recorded_at DATETIME NOT NULL,
    "window" TEXT, used_percent FLOAT NOT NULL, reset_at INTEGER, window_minutes INTEGER);
CREATE TABLE request_logs (id INTEGER PRIMARY KEY, account_id TEXT, requested_at DATETIME NOT NULL,
    model TEXT NOT NULL, service_tier TEXT, input_tokens INTEGER, output_tokens INTEGER, status TEXT,
    deleted_at DATETIME);
"""
COUNT = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :rows)"
FILL_ACCOUNTS = f"{COUNT} INSERT INTO accounts SELECT printf('a%05d', i), '', 'plus', 'active' FROM n"
FILL_REQUESTS = f"""
{COUNT} INSERT INTO request_logs SELECT i + 1, printf('a%05d', i % :accounts),
    strftime('%Y-%m-%d %H:%M:%f', :now - :seconds * (:rows - i) / :rows, 'unixepoch'),
    'gpt-5.5', NULL, 1000, 100, 'success', CASE WHEN i % 100 < :deleted THEN '2026-01-01' END FROM n
"""
FILL_READINGS = f"""
{COUNT} INSERT INTO usage_history SELECT i + 1, printf('a%05d', i / 2 % :accounts),
    strftime('%Y-%m-%d %H:%M:%f', :now - :seconds * (:rows - i) / :rows, 'unixepoch'),
    CASE i % 2 WHEN 0 THEN 'primary' ELSE 'secondary' END, 40, CAST(:now AS INTEGER) + 86400,
    CASE i % 2 WHEN 0 THEN 300 ELSE 10080 END FROM n
"""


@dataclass(frozen=True)
class Size:
    """Requests and readings that lie evenly over so many days, and percent of the requests marked deleted."""

    requests: int = 6_000
    readings: int = 2_500
    days: float = 6.9
    accounts: int = ACCOUNTS
    deleted: int = 0


SMALL = Size()
LONG = Size(requests=60_000, readings=25_000, days=69)
DENSE = Size(requests=60_000, readings=25_000)
HIDDEN = Size(requests=60_000, readings=2_500, deleted=95)


@pytest.fixture
def store(tmp_path: Path) -> Callable[[str, Size], Path]:
    def make(indexes: str, size: Size) -> Path:
        path = tmp_path / f"{size.requests}-{size.days}-{size.deleted}-{size.accounts}.db"
        now = datetime.now(UTC).timestamp()
        given = {
            "now": now,
            "seconds": size.days * 86_400,
            "accounts": size.accounts,
            "deleted": size.deleted,
        }
        with closing(sqlite3.connect(path, isolation_level=None)) as owner:
            owner.executescript("PRAGMA synchronous=OFF;" + TABLES)
            owner.execute(FILL_ACCOUNTS, {**given, "rows": size.accounts})
            owner.execute(FILL_REQUESTS, {**given, "rows": size.requests})
            owner.execute(FILL_READINGS, {**given, "rows": size.readings})
            owner.executescript(indexes)
        return path

    return make


@dataclass
class Steps:
    """Steps of each statement, in units of GRAIN, and its text."""

    taken: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def most(self) -> tuple[int, str]:
        return max(zip(self.taken, self.texts, strict=True))


@contextmanager
def counted() -> Iterator[Steps]:
    """Count the steps of every statement of every connection that is opened meanwhile."""
    steps = Steps()

    def watch(connection: sqlite3.Connection, _record: object) -> None:
        connection.set_progress_handler(step, GRAIN)

    def step() -> int:
        steps.taken[-1] += 1
        return 0

    def begin(_c: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        steps.taken.append(0)
        steps.texts.append(statement)

    event.listen(Engine, "connect", watch)
    event.listen(Engine, "before_cursor_execute", begin)
    try:
        yield steps
    finally:
        event.remove(Engine, "connect", watch)
        event.remove(Engine, "before_cursor_execute", begin)


def all_that_is_read(opened: Source) -> None:
    """A first load, a scrape after it, and an audit of everything."""
    subjects = collectors(opened, "email")
    for _ in range(2):
        assert scrape(subjects, datetime.now(UTC), Beginnings()).failed == ()
    opened.audit_requests(lambda _in_doubt: True)
    opened.audit_meters(datetime.now(UTC), lambda _in_doubt: True)


def max_steps(path: Path, read: Callable[[Source], object] = all_that_is_read) -> tuple[int, str]:
    """Of the statement that took the most steps: how many, and its text."""
    with closing(source(Settings.model_validate({}), f"codex-lb:{path}")) as opened, counted() as steps:
        read(opened)
    return steps.most()


@pytest.mark.parametrize("larger", [LONG, DENSE, HIDDEN], ids=["long", "dense", "hidden"])
@pytest.mark.parametrize("indexes", [NEW, OURS], ids=["new codex-lb", "our ledger"])
def test_no_statement_reads_more_of_a_store_ten_times_as_large(
    store: Callable[[str, Size], Path], indexes: str, larger: Size
) -> None:
    small, large = max_steps(store(indexes, SMALL)), max_steps(store(indexes, larger))
    assert small[0] > 100  # the small one has filled a statement, or the comparison would be of nothing
    assert large[0] <= small[0] * 1.1, large


@pytest.mark.parametrize("indexes", [OLD, PARTIAL, NO_TIME], ids=["old codex-lb", "partial", "no index"])
def test_nor_where_there_are_few_indexes(store: Callable[[str, Size], Path], indexes: str) -> None:
    small, large = max_steps(store(indexes, SMALL)), max_steps(store(indexes, LONG))
    assert large[0] <= small[0] * 1.1, large


def test_nor_of_ten_times_as_many_accounts(store: Callable[[str, Size], Path]) -> None:
    def accounts(opened: Source) -> None:
        found.append(len(opened.accounts(datetime.now(UTC)).shown))

    found: list[int] = []
    few, many = (store(NEW, Size(requests=10, readings=10, accounts=n)) for n in (1_500, 15_000))
    small, large = max_steps(few, accounts), max_steps(many, accounts)
    assert found == [1_500, 15_000]
    assert large[0] <= small[0] * 1.1, large
