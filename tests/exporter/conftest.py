"""A real ledger to read, and the real exporter as a process."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection

from exporter.scrape import Scrape, Scraper
from exporter.stores import source
from ledger.pricing.files import load_seed
from ledger.pricing.table import replace_prices
from ledger.requests.writes import ensure_account, record, record_samples
from ledger.values import RequestEvent, Usage, UsageSample
from settings.model import Settings
from tests.support.ledgers import migrated

ROOT = Path(__file__).parents[2]
Write = Callable[[Path, Callable[[Connection], object]], None]


@pytest.fixture(scope="session")
def as_foreign() -> Callable[[Path], None]:
    """Makes a ledger of ours what those of other programs are: `request_logs` is a table, into which anything
    can be written."""

    def change(database: Path) -> None:
        with closing(sqlite3.connect(database)) as owner:
            (view,) = owner.execute("SELECT sql FROM sqlite_master WHERE name = 'event_log'").fetchone()
            columns = [row[1] for row in owner.execute("PRAGMA table_info(request_logs)")]
            named = ", ".join(columns[1:])
            owner.executescript(f"""
                CREATE TABLE taken (id INTEGER PRIMARY KEY, {named});
                INSERT INTO taken SELECT * FROM request_logs;
                DROP VIEW event_log;
                DROP VIEW request_logs;
                DROP TABLE request_rows;
                ALTER TABLE taken RENAME TO request_logs;
                {view};
            """)

    return change


@pytest.fixture(scope="session")
def make_event() -> Callable[..., RequestEvent]:
    """Makes a request of 1,000 input, 200 of them cached, and 100 output tokens; anything can be set."""
    numbers = count()

    def make(**changes: Any) -> RequestEvent:
        number = next(numbers)
        plain: dict[str, Any] = {
            "id": f"event-{number}",
            "account_id": "one",
            "api_key_id": "sk-a...wxyz",
            "request_id": f"req_{number}",
            "requested_at": datetime.now(UTC) - timedelta(hours=1),
            "method": "POST",
            "route": "/v1/responses",
            "api": "responses",
            "model": "gpt-5",
            "usage": Usage(1_000, 100, 200, 0),
            "status": "success",
            "http_status": 200,
            "end_reason": "done",
            "latency_ms": 1234.5,
        }
        return RequestEvent(**{**plain, **changes})

    return make


@pytest.fixture(scope="session")
def write() -> Write:
    """Writes to a ledger as the proxy does; makes the file where there is none."""

    def write(path: Path, change: Callable[[Connection], object]) -> None:
        engine = migrated(path)
        with engine.begin() as connection:
            change(connection)
        engine.dispose()

    return write


@pytest.fixture
def usage_db(tmp_path: Path, write: Write, make_event: Callable[..., RequestEvent]) -> Path:
    """A ledger with three accounts. One has used a fifth of its week, of which two requests are known; one
    has been used beyond the proxy; of one nothing is known."""
    now = datetime.now(UTC)
    week_ends = int((now + timedelta(days=5)).timestamp())

    def sample(account: str, hours_ago: float, window: str, used: float) -> UsageSample:
        minutes = {"primary": 300, "secondary": 10_080}[window]
        ends = week_ends if window == "secondary" else int(now.timestamp()) + 3_600
        return UsageSample(account, now - timedelta(hours=hours_ago), window, used, ends, minutes)

    def fill(connection: Connection) -> None:
        # As all tests ask for few models, few prices: thousands take longer to read than all else here.
        replace_prices(connection, [price for price in load_seed() if price.model.startswith("gpt-5")])
        ensure_account(
            connection, id="one", email="one@example.com", plan_type="plus", status="active", created_at=now
        )
        ensure_account(connection, id="two", email="", plan_type="Pro", status="RATE_LIMITED", created_at=now)
        ensure_account(connection, id="three", email="three@example.com", status="active", created_at=now)
        record(connection, [make_event(), make_event(), make_event(account_id="two", model="gpt-5.9")])
        record_samples(
            connection,
            [
                sample("one", 47.5, "secondary", 0),
                sample("one", 0.5, "secondary", 20),
                sample("one", 0.5, "primary", 35.5),
                sample("two", 30, "secondary", 18),
            ],
        )

    path = tmp_path / "usage.db"
    write(path, fill)
    return path


Take = Callable[[], Scrape]


@pytest.fixture
def taker() -> Iterator[Callable[..., Take]]:
    """Makes a function that scrapes a store as the running exporter does: the ledger of a path, or with
    `store=` what --store names; further keywords are sections of the configuration."""
    with ExitStack() as stack:

        def taker(path: Path | None = None, *, store: str | None = None, **sections: Any) -> Take:
            storage = {"storage": {"database_path": path}} if path else {}
            settings = Settings.model_validate({**storage, **sections})
            opened = stack.enter_context(closing(source(settings, store)))
            return Scraper(opened, settings.metrics.account_identity_mode)

        yield taker


@pytest.fixture
def values() -> Callable[[Scrape], dict[tuple[str, ...], float]]:
    """The values of a scrape: (family, label values ...) -> value."""

    def values(taken: Scrape) -> dict[tuple[str, ...], float]:
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(taken.text.decode())
            for sample in family.samples
        }

    return values


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `python -m exporter` on a configuration given as text, with arguments and environment
    variables; it ends with the test."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CODEX_")}
    with ExitStack() as stack:

        def start(config: str = "", *arguments: str, **variables: str) -> subprocess.Popen[str]:
            file = tmp_path / "codex-usage.toml"
            file.write_text(config)
            process = subprocess.Popen(
                [sys.executable, "-m", "exporter", "--config", str(file), *arguments],
                cwd=tmp_path,
                env={**environment, "PYTHONPATH": str(ROOT), **variables},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process

        yield start
