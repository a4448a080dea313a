from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exporter.scrape import Scrape
from ledger.requests.writes import record
from ledger.values import RequestEvent

COLLECTORS = ("accounts", "windows", "spend", "freshness")
OF_COLLECTOR = {
    "accounts": {"codex_lb_accounts_total", "codex_lb_account_identity"},
    "windows": {"codex_lb_secondary_used_percent", "codex_lb_secondary_resets_total"},
    "spend": {"codex_lb_proxy_account_cycle_cost_usd", "codex_lb_proxy_account_unpriced_requests_7d"},
    "freshness": {"codex_lb_exporter_newest_request_timestamp_seconds"},
}
EventFactory = Callable[..., RequestEvent]
Write = Callable[..., None]
Take = Callable[[], Scrape]
Taker = Callable[..., Take]
Values = Callable[[Scrape], dict[tuple[str, ...], float]]


@pytest.fixture
def present(values: Values) -> Callable[[Scrape], set[str]]:
    """The collectors of which a scrape shows values."""

    def present(taken: Scrape) -> set[str]:
        names = {key[0] for key in values(taken)}
        return {collector for collector, families in OF_COLLECTOR.items() if families & names}

    return present


@pytest.fixture
def successes(values: Values) -> Callable[[Scrape], dict[str, float]]:
    def successes(taken: Scrape) -> dict[str, float]:
        found = values(taken)
        return {name: found[("codex_lb_exporter_collector_success", name)] for name in COLLECTORS}

    return successes


@pytest.mark.slow
def test_a_ledger_is_told_in_numbers(usage_db: Path, taker: Taker, values: Values) -> None:
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
    assert found["codex_lb_proxy_account_cost_usd_7d", "three"] == 0  # known, and nothing spent
    assert found["codex_lb_primary_used_percent", "one"] == 35.5
    assert found["codex_lb_secondary_used_percent", "one"] == 20
    assert found["codex_lb_secondary_window_minutes", "one"] == 10_080
    assert found["codex_lb_primary_remaining_credits", "one"] == pytest.approx(225 * 0.645)
    assert found["codex_lb_secondary_remaining_credits", "two"] == pytest.approx(50_400 * 0.82)
    assert found["codex_lb_secondary_resets_total", "three"] == 0
    assert found["codex_lb_secondary_used_percent_delta_pp_7d", "one"] == 20
    assert found["codex_lb_secondary_implied_quota_usd_7d", "one"] == pytest.approx(0.00405 / 0.2)
    assert found["codex_lb_secondary_quota_estimate_suppressed", "two", "cycle_start_mismatch"] == 1
    assert found["codex_lb_secondary_quota_estimate_suppressed", "two", "no_priced_usage"] == 1
    assert ("codex_lb_secondary_implied_quota_usd_7d", "two") not in found
    assert ("codex_lb_secondary_used_percent", "three") not in found
    age = datetime.now(UTC).timestamp() - found[("codex_lb_exporter_newest_request_timestamp_seconds",)]
    assert age == pytest.approx(3_600, abs=60)
    assert all(0 < found["codex_lb_exporter_collector_duration_seconds", name] < 5 for name in COLLECTORS)


@pytest.mark.slow
def test_spend_goes_back_seven_days(
    usage_db: Path, write: Write, make_event: EventFactory, taker: Taker, values: Values
) -> None:
    now = datetime.now(UTC)
    ages = [timedelta(days=7, minutes=1), timedelta(days=7) - timedelta(minutes=1)]
    events = [make_event(account_id=f"age-{n}", requested_at=now - age) for n, age in enumerate(ages)]
    write(usage_db, lambda connection: record(connection, events))
    found = values(taker(usage_db)())
    assert ("codex_lb_proxy_account_cost_usd_7d", "age-0") not in found
    assert ("codex_lb_proxy_account_cost_usd_7d", "age-1") in found


@pytest.mark.parametrize(
    ("table", "failing"),
    [
        ("accounts", {"accounts", "windows", "spend"}),  # who there is decides what is shown
        ("usage_history", {"windows", "spend"}),
        ("prices", {"spend"}),
        ("request_logs", {"spend", "freshness"}),
    ],
)
@pytest.mark.slow
def test_a_collector_that_fails_leaves_the_others_standing(
    usage_db: Path,
    write: Write,
    table: str,
    failing: set[str],
    caplog: pytest.LogCaptureFixture,
    taker: Taker,
    present: Callable[[Scrape], set[str]],
    successes: Callable[[Scrape], dict[str, float]],
    as_foreign: Callable[[Path], None],
) -> None:
    as_foreign(usage_db)
    write(usage_db, lambda connection: connection.exec_driver_sql("DROP VIEW event_log"))
    write(usage_db, lambda connection: connection.exec_driver_sql(f"DROP TABLE {table}"))
    with caplog.at_level(logging.WARNING):
        taken = taker(usage_db)()
    assert set(taken.failed) == failing
    assert present(taken) == set(COLLECTORS) - failing
    assert successes(taken) == {name: float(name not in failing) for name in COLLECTORS}
    names = ", ".join(name for name in COLLECTORS if name in failing)
    (message,) = caplog.messages
    assert message.startswith(f"{names} failed: cannot read the ledger {usage_db}: no such table: {table}")


@pytest.mark.slow
def test_a_time_that_nobody_can_read_is_told_without_showing_it(
    usage_db: Path,
    write: Write,
    taker: Taker,
    caplog: pytest.LogCaptureFixture,
    as_foreign: Callable[[Path], None],
) -> None:
    as_foreign(usage_db)
    write(usage_db, lambda c: c.exec_driver_sql("UPDATE request_logs SET requested_at = 'yesterday'"))
    with caplog.at_level(logging.WARNING):
        assert taker(usage_db)().failed == ()
    assert [line for line in caplog.messages if line.startswith("request_logs: 3 rows cannot be understood")]
    assert "yesterday" not in caplog.text


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
@pytest.mark.slow
def test_what_cannot_be_read_is_told_and_read_again_as_soon_as_it_can(
    usage_db: Path,
    tmp_path: Path,
    spoil: Callable[[Path], None],
    taker: Taker,
    values: Values,
    present: Callable[[Scrape], set[str]],
    successes: Callable[[Scrape], dict[str, float]],
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


@pytest.mark.slow
def test_a_locked_ledger_is_told_and_read_again_when_it_is_free(usage_db: Path, taker: Taker) -> None:
    take = taker(usage_db)
    with closing(sqlite3.connect(usage_db, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=DELETE")  # in WAL mode nobody waits for anybody
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        start = time.monotonic()
        assert take().failed == COLLECTORS
        assert 0.9 < time.monotonic() - start < 3.8  # the wait of one, not of four in turn
    assert take().failed == ()


@pytest.mark.slow
def test_what_is_written_is_in_the_next_scrape(
    usage_db: Path, write: Write, make_event: EventFactory, taker: Taker, values: Values
) -> None:
    take = taker(usage_db)
    key = ("codex_lb_proxy_account_cost_usd_7d", "one")
    before = values(take())[key]
    write(usage_db, lambda connection: record(connection, [make_event()]))
    assert values(take())[key] == pytest.approx(before * 1.5, rel=1e-12)


@pytest.mark.slow
def test_nothing_is_written(usage_db: Path, tmp_path: Path, taker: Taker) -> None:
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    taker(usage_db)()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.slow
def test_where_identity_is_private_no_address_is_shown(
    usage_db: Path, write: Write, make_event: EventFactory, taker: Taker, values: Values
) -> None:
    write(usage_db, lambda c: record(c, [make_event(account_id="stray@example.com")]))
    private = taker(usage_db, metrics={"account_identity_mode": "account_id"})()
    public = taker(usage_db)()
    assert b"one@example.com" in public.text
    assert b"stray@example.com" in public.text
    assert b"@" not in private.text
    assert values(private)["codex_lb_account_identity", "one", "one", "plus"] == 1
