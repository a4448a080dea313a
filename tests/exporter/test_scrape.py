from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.accounts import IdentityMode
from exporter.scrape import Scrape, collectors, reading, scrape
from ledger.store import reader, sqlite_url
from ledger.values import RequestEvent
from ledger.writes import record

COLLECTORS = ("accounts", "spend", "freshness")
OF_COLLECTOR = {
    "accounts": {"codex_lb_accounts_total", "codex_lb_account_identity"},
    "spend": {"codex_lb_proxy_account_cost_usd_7d", "codex_lb_proxy_account_unpriced_requests_7d"},
    "freshness": {"codex_lb_exporter_newest_request_timestamp_seconds"},
}
EventFactory = Callable[..., RequestEvent]
Write = Callable[..., None]
Take = Callable[[], Scrape]


def taker(path: Path, mode: IdentityMode = "email", patience: float = 0.1) -> Take:
    """Scrapes a ledger, whatever its state, as the running exporter does."""
    url = sqlite_url(path)
    engine = reader(url, busy_timeout_seconds=patience)
    return lambda: scrape(collectors(mode), lambda: reading(engine, url), datetime.now(UTC))


def values(taken: Scrape) -> dict[tuple[str, ...], float]:
    """(family, label values ...) -> value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(taken.text.decode())
        for sample in family.samples
    }


def present(taken: Scrape) -> set[str]:
    """The collectors of which the scrape shows values."""
    names = {key[0] for key in values(taken)}
    return {collector for collector, families in OF_COLLECTOR.items() if families & names}


def successes(taken: Scrape) -> dict[str, float]:
    found = values(taken)
    return {name: found[("codex_lb_exporter_collector_success", name)] for name in COLLECTORS}


def test_a_ledger_is_told_in_numbers(usage_db: Path) -> None:
    taken = taker(usage_db)()
    found = values(taken)
    assert taken.failed == ()
    assert found["codex_lb_accounts_total", "active"] == 2
    assert found["codex_lb_accounts_total", "rate_limited"] == 1
    assert found["codex_lb_accounts_total", "deactivated"] == 0
    assert found["codex_lb_account_identity", "one", "one@example.com", "plus"] == 1
    assert found["codex_lb_account_identity", "two", "two", "pro"] == 1
    # two requests of 800 * 1.25 + 200 * 0.125 + 100 * 10 per million
    assert found["codex_lb_proxy_account_cost_usd_7d", "one"] == pytest.approx(0.00405, rel=1e-12)
    assert found["codex_lb_proxy_account_unpriced_requests_7d", "one"] == 0
    assert found["codex_lb_proxy_account_unpriced_requests_7d", "two"] == 1
    age = datetime.now(UTC).timestamp() - found[("codex_lb_exporter_newest_request_timestamp_seconds",)]
    assert age == pytest.approx(3_600, abs=60)
    assert all(0 < found["codex_lb_exporter_collector_duration_seconds", name] < 5 for name in COLLECTORS)


def test_spend_goes_back_seven_days(usage_db: Path, write: Write, make_event: EventFactory) -> None:
    now = datetime.now(UTC)
    ages = [timedelta(days=7, minutes=1), timedelta(days=7) - timedelta(minutes=1)]
    events = [make_event(account_id=f"age-{n}", requested_at=now - age) for n, age in enumerate(ages)]
    write(usage_db, lambda connection: record(connection, events))
    found = values(taker(usage_db)())
    assert ("codex_lb_proxy_account_cost_usd_7d", "age-0") not in found
    assert ("codex_lb_proxy_account_cost_usd_7d", "age-1") in found


@pytest.mark.parametrize(
    ("table", "failing"),
    [("accounts", {"accounts"}), ("prices", {"spend"}), ("request_logs", {"spend", "freshness"})],
)
def test_a_collector_that_fails_leaves_the_others_standing(
    usage_db: Path, write: Write, table: str, failing: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    write(usage_db, lambda connection: connection.exec_driver_sql("DROP VIEW event_log"))
    write(usage_db, lambda connection: connection.exec_driver_sql(f"DROP TABLE {table}"))
    with caplog.at_level(logging.WARNING):
        taken = taker(usage_db)()
    assert set(taken.failed) == failing
    assert present(taken) == set(COLLECTORS) - failing
    assert successes(taken) == {name: float(name not in failing) for name in COLLECTORS}
    assert sorted(caplog.messages) == sorted(
        f"collector {name} failed: cannot read the ledger {usage_db}: no such table: {table}"
        for name in failing
    )


def missing(path: Path) -> None:
    path.unlink()


def not_migrated(path: Path) -> None:
    path.write_bytes(b"")


def corrupt(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + b"\xee" * 4_096)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [missing, not_migrated, corrupt, a_folder])
def test_what_cannot_be_read_is_told_and_read_again_as_soon_as_it_can(
    usage_db: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    take = taker(usage_db)
    before = take()
    for left in tmp_path.glob("usage.db-*"):
        left.unlink()
    kept = usage_db.read_bytes()

    spoil(usage_db)
    spoilt = take()
    assert spoilt.failed == COLLECTORS
    assert present(spoilt) == set()  # nothing stale
    assert successes(spoilt) == dict.fromkeys(COLLECTORS, 0.0)

    if usage_db.is_dir():
        usage_db.rmdir()
    for left in tmp_path.glob("usage.db*"):
        left.unlink()
    usage_db.write_bytes(kept)
    after = take()
    assert after.failed == ()
    assert values(after).keys() == values(before).keys()


def test_a_locked_ledger_is_told_and_read_again_when_it_is_free(usage_db: Path) -> None:
    take = taker(usage_db, patience=1)
    with closing(sqlite3.connect(usage_db, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        start = time.monotonic()
        assert take().failed == COLLECTORS
        assert 0.9 < time.monotonic() - start < 2.5  # the wait of one, not of three in turn
    assert take().failed == ()


def test_what_is_written_is_in_the_next_scrape(
    usage_db: Path, write: Write, make_event: EventFactory
) -> None:
    take = taker(usage_db)
    key = ("codex_lb_proxy_account_cost_usd_7d", "one")
    before = values(take())[key]
    write(usage_db, lambda connection: record(connection, [make_event()]))
    assert values(take())[key] == pytest.approx(before * 1.5, rel=1e-12)


def test_nothing_is_written(usage_db: Path, tmp_path: Path) -> None:
    before = usage_db.read_bytes()
    taker(usage_db)()
    assert usage_db.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} <= {"usage.db", "usage.db-wal", "usage.db-shm"}


def test_where_identity_is_private_no_address_is_shown(usage_db: Path) -> None:
    public, private = taker(usage_db, "email")(), taker(usage_db, "account_id")()
    assert b"one@example.com" in public.text
    assert b"@" not in private.text
    assert values(private)["codex_lb_account_identity", "one", "one", "plus"] == 1
