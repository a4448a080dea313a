"""Beside a codex-lb: its stores of old and new, in every state that one may be in."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import URL

from exporter.scrape import Scrape
from ledger.quota.running import RunningRequests

Take = Callable[[], Scrape]
Taker = Callable[..., Take]
Values = Callable[[Scrape], dict[tuple[str, ...], float]]
NOW = datetime.now(UTC)
RESET = int((NOW + timedelta(days=4)).timestamp())

OLD_ACCOUNTS = (
    "CREATE TABLE accounts (id TEXT PRIMARY KEY, email TEXT, plan_type TEXT, status TEXT, reset_at INTEGER)"
)
OLD_HISTORY = """
CREATE TABLE usage_history (id INTEGER PRIMARY KEY, account_id TEXT, recorded_at TIMESTAMP,
    used_percent FLOAT, reset_at INTEGER, window_minutes INTEGER);
CREATE TABLE request_logs (id INTEGER PRIMARY KEY, account_id TEXT, request_id TEXT, requested_at TIMESTAMP,
    model TEXT, input_tokens INTEGER, output_tokens INTEGER, cached_input_tokens INTEGER,
    reasoning_tokens INTEGER, reasoning_effort TEXT, latency_ms INTEGER, status TEXT, error_code TEXT,
    error_message TEXT);
CREATE INDEX idx_logs_account_time ON request_logs (account_id, requested_at);
"""
NEW = """
CREATE TABLE accounts (id TEXT PRIMARY KEY, chatgpt_account_id TEXT, email TEXT, alias TEXT, plan_type TEXT,
    routing_policy TEXT, access_token_encrypted BYTEA, status TEXT, reset_at INTEGER, blocked_at INTEGER,
    delete_requested_at TIMESTAMP);
CREATE TABLE usage_history (id INTEGER PRIMARY KEY, account_id TEXT, recorded_at TIMESTAMP, "window" TEXT,
    used_percent FLOAT, reset_at INTEGER, window_minutes INTEGER, credits_has BOOLEAN, credits_balance FLOAT);
CREATE TABLE request_logs (id INTEGER PRIMARY KEY, account_id TEXT, request_id TEXT, request_kind TEXT,
    requested_at TIMESTAMP, deleted_at TIMESTAMP, model TEXT, service_tier TEXT, requested_service_tier TEXT,
    actual_service_tier TEXT, input_tokens INTEGER, output_tokens INTEGER, cached_input_tokens INTEGER,
    reasoning_tokens INTEGER, cost_usd FLOAT, status TEXT);
CREATE INDEX idx_logs_requested_at ON request_logs (requested_at);
"""


def ago(hours: float, digits: bool = False) -> str:
    """A time as codex-lb stores it, with or without a fraction."""
    moment = NOW - timedelta(hours=hours)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f" if digits else "%Y-%m-%d %H:%M:%S")


def insert(table: str, **row: Any) -> tuple[str, tuple[Any, ...]]:
    names, marks = ", ".join(f'"{name}"' for name in row), ", ".join(["?"] * len(row))
    return f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values())


def request(id: int, hours: float, **more: Any) -> tuple[str, tuple[Any, ...]]:
    plain = {
        "id": id,
        "account_id": "a",
        "request_id": f"r{id}",
        "requested_at": ago(hours, digits=bool(id % 2)),
    }
    counts = {"model": "gpt-5.5", "input_tokens": 100_000, "output_tokens": 10_000, "status": "success"}
    return insert("request_logs", **{**plain, **counts, **more})


def reading(id: int, hours: float, used: float, **more: Any) -> tuple[str, tuple[Any, ...]]:
    plain = {"id": id, "account_id": "a", "recorded_at": ago(hours), "used_percent": used, "reset_at": RESET}
    return insert("usage_history", **{**plain, "window_minutes": 10_080, **more})


OLD_ROWS = [
    insert("accounts", id="a", email="a@example.com", plan_type="Plus", status="RATE_LIMITED"),
    reading(1, 71.5, 0),
    reading(2, 1, 40),  # a window without a name, and a week long
    request(1, 71),
    request(2, 2),
]
NEW_ROWS = [
    insert("accounts", id="a", email="a@example.com", plan_type="plus", status="active"),
    insert(
        "accounts",
        id="gone",
        email="gone@example.com",
        plan_type="pro",
        status="active",
        delete_requested_at=ago(1),
    ),
    insert("accounts", id="idle", email="idle@example.com", plan_type="other", status="deactivated"),
    reading(1, 71.5, 0, window="secondary"),
    reading(2, 1, 40, window="old-secondary", reset_at=RESET + 30),
    reading(3, 1, 70, window="primary", window_minutes=300, reset_at=RESET),
    reading(4, 30, 90, window=None, window_minutes=300, reset_at=RESET),
    request(1, 71, request_kind="warmup"),
    request(2, 2, service_tier="priority", actual_service_tier="default", request_kind="normal"),
    request(3, 2, model="made-up", cost_usd=0.25, request_kind="normal"),
    request(4, 2, model="made-up", request_kind="normal"),
    request(5, 2, deleted_at=ago(1), request_kind="normal"),
    request(6, 2, account_id="gone", request_kind="normal"),
    request(7, 2, account_id=None, request_kind="normal"),
    request(8, 2, status="error", input_tokens=None, output_tokens=None, request_kind="normal"),
]
COST = 0.1 * 5 + 0.01 * 30
"""Of one plain request, in US dollars."""


def fill(path: Path, *parts: str, rows: list[tuple[str, tuple[Any, ...]]]) -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as store:
        store.execute("PRAGMA journal_mode=WAL")
        for part in parts:
            store.executescript(part)
        for statement, values in rows:
            store.execute(statement, values)
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return fill(tmp_path / "store.db", OLD_ACCOUNTS, OLD_HISTORY, rows=OLD_ROWS)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return fill(tmp_path / "store.db", NEW, rows=NEW_ROWS)


def test_an_old_store_with_few_columns(old: Path, taker: Taker, values: Values) -> None:
    taken = taker(store=f"codex-lb:{old}")()
    found = values(taken)
    assert taken.failed == ()
    assert found["codex_lb_accounts_total", "rate_limited"] == 1
    assert found["codex_lb_account_identity", "a", "a@example.com", "plus"] == 1
    assert found["codex_lb_proxy_account_cost_usd_7d", "a"] == pytest.approx(2 * COST)
    assert found["codex_lb_secondary_used_percent", "a"] == 40
    assert found["codex_lb_secondary_implied_quota_usd_7d", "a"] == pytest.approx(2 * COST / 0.4)
    assert ("codex_lb_primary_used_percent", "a") not in found


def shows_the_new_store(found: dict[tuple[str, ...], float]) -> None:
    assert found["codex_lb_accounts_total", "active"] == 1
    assert found["codex_lb_accounts_total", "deactivated"] == 1
    assert found["codex_lb_proxy_account_cost_usd_7d", "a"] == pytest.approx(2 * COST + 0.25)
    assert found["codex_lb_proxy_account_unpriced_requests_7d", "a"] == 1
    assert found["codex_lb_proxy_account_cost_usd_7d", "unknown"] == pytest.approx(COST)
    assert found["codex_lb_proxy_account_cost_usd_7d", "idle"] == 0
    assert found["codex_lb_secondary_reset_at_seconds", "a"] == RESET + 30
    assert found["codex_lb_primary_used_percent", "a"] == 70
    assert found["codex_lb_secondary_implied_quota_usd_7d", "a"] == pytest.approx((2 * COST + 0.25) / 0.4)
    assert not [key for key in found if "gone" in key or "gone@example.com" in key]


def test_a_new_store_with_tiers_hidden_rows_and_stored_costs(new: Path, taker: Taker, values: Values) -> None:
    taken = taker(store=f"codex-lb:{new}")()
    assert taken.failed == ()
    shows_the_new_store(values(taken))


def test_the_requested_tier_decides_for_an_account_and_the_served_one_for_another_source(
    tmp_path: Path, taker: Taker, values: Values
) -> None:
    """An account is a ChatGPT login, whose answers always say `default`."""
    tiers = {"requested_service_tier": "fast", "actual_service_tier": "default", "service_tier": "default"}
    rows = [
        insert("accounts", id="a", email="a@example.com", plan_type="plus", status="active"),
        reading(1, 71.5, 0),
        reading(2, 1, 40),
        request(1, 71),
        request(2, 2, **tiers),
        request(3, 2, model_source_id="elsewhere", **tiers),
        request(4, 2, requested_service_tier=None, actual_service_tier="default"),
    ]
    with_source = NEW.replace("request_kind TEXT,", "request_kind TEXT, model_source_id TEXT,")
    store = fill(tmp_path / "store.db", with_source, rows=rows)
    found = values(taker(store=f"codex-lb:{store}")())
    assert found["codex_lb_proxy_account_cost_usd_7d", "a"] == pytest.approx((1 + 2.5 + 1 + 1) * COST)


def test_the_same_on_postgresql(postgres_url: URL, taker: Taker, values: Values) -> None:
    with psycopg.connect(host=str(postgres_url.query["host"]), user="ledger", dbname="postgres") as server:
        server.execute(NEW)
        for statement, row in NEW_ROWS:
            server.execute(statement.replace("?", "%s"), row)
    store = f"codex-lb:{postgres_url.set(drivername='postgresql').render_as_string(hide_password=False)}"
    taken = taker(store=store)()
    assert taken.failed == ()
    shows_the_new_store(values(taken))


def test_a_role_that_may_read_only_what_the_document_grants(
    postgres_url: URL, taker: Taker, values: Values
) -> None:
    document = (Path(__file__).parents[2] / "docs" / "quota.md").read_text(encoding="utf-8")
    grants = document.partition("```sql")[2].partition("```")[0]
    columns = "SELECT (id, email, plan_type, status, delete_requested_at) ON accounts"
    assert columns in document
    with psycopg.connect(host=str(postgres_url.query["host"]), user="ledger", dbname="postgres") as server:
        server.execute(NEW)
        for statement, row in NEW_ROWS:
            server.execute(statement.replace("?", "%s"), row)
        server.execute("DROP ROLE IF EXISTS quotascope")
        server.execute(grants.encode())
        server.execute("REVOKE SELECT ON accounts FROM quotascope")
        server.execute(f"GRANT {columns} TO quotascope".encode())
    url = postgres_url.set(drivername="postgresql", username="quotascope")
    taken = taker(store=f"codex-lb:{url.render_as_string(hide_password=False)}")()
    assert taken.failed == ()
    shows_the_new_store(values(taken))
    with psycopg.connect(host=str(postgres_url.query["host"]), user="ledger", dbname="postgres") as server:
        server.execute("DROP OWNED BY quotascope")
        server.execute("DROP ROLE quotascope")


def test_accounts_in_a_file_of_their_own(tmp_path: Path, taker: Taker, values: Values) -> None:
    accounts = fill(tmp_path / "accounts.db", OLD_ACCOUNTS, rows=OLD_ROWS[:1])
    history = fill(tmp_path / "store.db", OLD_HISTORY, rows=OLD_ROWS[1:])
    take = taker(store=f"codex-lb:{history},accounts={accounts}")
    found = values(take())
    assert found["codex_lb_secondary_implied_quota_usd_7d", "a"] == pytest.approx(2 * COST / 0.4)
    accounts.unlink()
    without = take()
    assert without.failed == ("accounts", "windows", "spend")
    assert values(without)["codex_lb_exporter_collector_success", "freshness"] == 1


def test_configured_prices_capacities_and_thresholds_count(new: Path, taker: Taker, values: Values) -> None:
    price = {"prompt_per_1m": "10", "completion_per_1m": "0"}
    take = taker(
        store=f"codex-lb:{new}",
        pricing={"models": {"made-up": price}},
        quota={"capacity": {"Plus": {"primary_credits": 10.0, "secondary_credits": 1_000.0}}},
    )
    found = values(take())
    assert found["codex_lb_proxy_account_cost_usd_7d", "a"] == pytest.approx(2 * COST + 2 * 1.0)
    assert found["codex_lb_secondary_remaining_credits", "a"] == pytest.approx(600)
    assert found["codex_lb_primary_remaining_credits", "a"] == pytest.approx(3)


def test_no_file_is_made_and_no_byte_changed(new: Path, taker: Taker) -> None:
    before = {path.name: path.read_bytes() for path in new.parent.iterdir()}
    take = taker(store=f"codex-lb:{new}")
    for _ in range(3):
        assert take().failed == ()
    assert {path.name: path.read_bytes() for path in new.parent.iterdir()} == before


# A store does not stay as it was


def half_overwritten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5_000] + b"\xee" * 5_000)


def something_else(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to be one" * 100)


@pytest.mark.parametrize("spoil", [Path.unlink, half_overwritten, something_else])
def test_a_store_that_is_gone_or_broken_says_nothing_and_comes_back(
    new: Path, taker: Taker, values: Values, spoil: Callable[[Path], object]
) -> None:
    take = taker(store=f"codex-lb:{new}")
    before = take()
    kept = new.read_bytes()
    spoil(new)
    broken = take()
    assert {"windows", "spend"} <= set(broken.failed)
    assert not [key for key in values(broken) if key[0].startswith(("codex_lb_proxy", "codex_lb_secondary"))]
    new.unlink(missing_ok=True)
    new.write_bytes(kept)
    after = take()
    assert after.failed == ()
    shown = [{k: v for k, v in values(taken).items() if "collector" not in k[0]} for taken in (before, after)]
    assert shown[0] == shown[1]


def test_a_store_that_an_upgrade_replaced_is_read_anew(
    old: Path, tmp_path: Path, taker: Taker, values: Values
) -> None:
    take = taker(store=f"codex-lb:{old}")
    take()
    upgraded = fill(tmp_path / "upgraded.db", NEW, rows=NEW_ROWS)
    upgraded.replace(old)
    shows_the_new_store(values(take()))


def test_nothing_of_a_replaced_store_is_remembered(
    old: Path, tmp_path: Path, taker: Taker, values: Values
) -> None:
    take = taker(store=f"codex-lb:{old}")
    take()
    restored = fill(
        tmp_path / "restored.db", OLD_ACCOUNTS, OLD_HISTORY, rows=[*OLD_ROWS[:2], reading(2, 5, 10)]
    )
    restored.replace(old)
    found = values(take())
    assert found["codex_lb_secondary_used_percent", "a"] == 10  # not the 40 of the file before
    assert found["codex_lb_proxy_account_cycle_cost_usd", "a"] == 0


def test_a_column_that_an_upgrade_adds_counts_from_the_next_scrape(
    old: Path, taker: Taker, values: Values
) -> None:
    take = taker(store=f"codex-lb:{old}")
    take()
    with closing(sqlite3.connect(old, isolation_level=None)) as owner:
        owner.execute("ALTER TABLE request_logs ADD COLUMN deleted_at TIMESTAMP")
        owner.execute("UPDATE request_logs SET deleted_at = requested_at WHERE id = 1")
        assert values(take())["codex_lb_proxy_account_cost_usd_7d", "a"] == pytest.approx(COST)


def test_an_owner_that_comes_and_goes_is_followed(new: Path, taker: Taker, values: Values) -> None:
    take = taker(store=f"codex-lb:{new}")
    key = ("codex_lb_proxy_account_cost_usd_7d", "unknown")
    for number in range(1, 4):
        assert values(take())[key] == pytest.approx(number * COST)
        with closing(sqlite3.connect(new, isolation_level=None)) as owner:
            owner.execute(*request(100 + number, 0.1, account_id=None))
            assert values(take())[key] == pytest.approx((number + 1) * COST)  # from the -wal


def test_an_account_that_goes_for_good_is_not_shown_again_by_its_requests(
    new: Path, taker: Taker, values: Values
) -> None:
    take = taker(store=f"codex-lb:{new}")
    assert not [key for key in values(take()) if "gone" in key]
    with closing(sqlite3.connect(new, isolation_level=None)) as owner:
        owner.execute("DELETE FROM accounts WHERE id = 'gone'")
        assert not [key for key in values(take()) if "gone" in key]
        owner.execute(*insert("accounts", id="gone", email="", plan_type="plus", status="active"))
        key = ("codex_lb_proxy_account_cost_usd_7d", "gone")
        assert values(take())[key] == pytest.approx(COST)
        owner.execute("DELETE FROM accounts WHERE id = 'gone'")
        assert key not in values(take())  # nor where it was never marked for deletion
        assert key not in values(taker(store=f"codex-lb:{new}")())  # nor by an exporter that never saw it


def test_after_an_error_of_our_own_nothing_half_read_is_left(
    new: Path, taker: Taker, values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = taker(store=f"codex-lb:{new}")
    take()
    with closing(sqlite3.connect(new, isolation_level=None)) as owner:
        owner.execute(*request(100, 0.1, account_id=None))
        owner.execute(*request(101, 0.1, account_id=None))
    add, calls = RunningRequests.add, count()

    def add_one(self: RunningRequests, at: int, cost: int) -> None:
        if next(calls):
            raise ZeroDivisionError
        add(self, at, cost)

    with monkeypatch.context() as patch:
        patch.setattr(RunningRequests, "add", add_one)
        for _ in range(3):
            assert take().failed == ("spend",)
    assert values(take())["codex_lb_proxy_account_cost_usd_7d", "unknown"] == pytest.approx(3 * COST)


def test_a_negative_stored_cost_is_none(new: Path, taker: Taker, values: Values) -> None:
    with closing(sqlite3.connect(new, isolation_level=None)) as owner:
        owner.execute(*request(100, 2, model="made-up", cost_usd=-3.0, account_id="idle"))
    found = values(taker(store=f"codex-lb:{new}")())
    assert found["codex_lb_proxy_account_cost_usd_7d", "idle"] == 0
    assert found["codex_lb_proxy_account_unpriced_requests_7d", "idle"] == 1


@pytest.mark.slow
def test_a_weekly_meter_without_a_length_says_why_there_is_no_estimate(
    new: Path, taker: Taker, values: Values
) -> None:
    with closing(sqlite3.connect(new, isolation_level=None)) as owner:
        owner.execute(*reading(100, 1, 30, account_id="idle", window="secondary", window_minutes=None))
        owner.execute(
            *reading(101, 1, 20, account_id="idle", window="primary", window_minutes=300, reset_at=0)
        )
    found = values(taker(store=f"codex-lb:{new}")())
    assert found["codex_lb_secondary_quota_estimate_suppressed", "idle", "unknown_cycle"] == 1
    assert found["codex_lb_primary_used_percent", "idle"] == 20  # and not 0, as if it had ended in 1970
    assert ("codex_lb_primary_reset_at_seconds", "idle") not in found


def test_a_reset_is_counted_and_a_wobble_is_none(new: Path, taker: Taker, values: Values) -> None:
    take = taker(store=f"codex-lb:{new}")
    key = ("codex_lb_secondary_resets_total", "a")
    counted = [values(take())[key]]
    steps = [(10, 41, RESET - 20), (11, 0, RESET + 7 * 86_400), (12, 1, RESET + 7 * 86_400 + 45)]
    for id, used, reset_at in steps:
        with closing(sqlite3.connect(new, isolation_level=None)) as owner:
            owner.execute(*reading(id, (20 - id) / 100, used, reset_at=reset_at, window="secondary"))
        counted.append(values(take())[key])
    assert counted == [0, 0, 1, 1]


def test_the_reset_of_an_unused_week_that_moves_with_each_look_is_none(
    new: Path, taker: Taker, values: Values
) -> None:
    take = taker(store=f"codex-lb:{new}")
    with closing(sqlite3.connect(new, isolation_level=None)) as owner:
        for id in range(10, 15):
            moves = {"account_id": "idle", "reset_at": RESET + 300 * id, "window": "secondary"}
            owner.execute(*reading(id, (20 - id) / 100, 0, **moves))
            assert values(take())["codex_lb_secondary_resets_total", "idle"] == 0


def test_a_killed_owner_leaves_a_store_that_can_be_read(
    new: Path, tmp_path: Path, taker: Taker, values: Values
) -> None:
    crashed = tmp_path / "crashed.db"
    with closing(sqlite3.connect(new, isolation_level=None)) as owner:
        owner.execute(*request(100, 0.1, account_id=None))
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(f"{new}{suffix}", f"{crashed}{suffix}")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    found = values(taker(store=f"codex-lb:{crashed}")())
    assert found["codex_lb_proxy_account_cost_usd_7d", "unknown"] == pytest.approx(2 * COST)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


COMES_AND_GOES = """
import sqlite3, sys, time
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    store = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)
    store.execute("UPDATE accounts SET reset_at = 1")
    store.close()
    time.sleep(0.05)
"""


def test_beside_an_owner_that_opens_and_closes_its_store_all_the_time_no_scrape_fails(
    new: Path, taker: Taker
) -> None:
    take = taker(store=f"codex-lb:{new}")
    with subprocess.Popen([sys.executable, "-c", COMES_AND_GOES, new, "4"]) as owner:
        failures = scrapes = 0
        while owner.poll() is None:
            failures += take().failed != ()
            scrapes += 1
    assert (owner.returncode, failures) == (0, 0)
    assert scrapes > 50


def test_an_address_that_is_no_text_is_shown_as_well_as_can_be(
    new: Path, taker: Taker, values: Values
) -> None:
    with closing(sqlite3.connect(new, isolation_level=None)) as owner:
        owner.execute("UPDATE accounts SET email = CAST(X'61FF40' AS TEXT) WHERE id = 'a'")
    taken = taker(store=f"codex-lb:{new}")()
    assert taken.failed == ()
    assert values(taken)["codex_lb_account_identity", "a", "a\ufffd@", "plus"] == 1


def test_a_store_behind_a_link_is_read_with_its_wal(
    new: Path, tmp_path: Path, taker: Taker, values: Values
) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(new)
    take = taker(store=f"codex-lb:{link}")
    with closing(sqlite3.connect(new, isolation_level=None)) as owner:
        for number in range(1, 4):
            assert values(take())["codex_lb_proxy_account_cost_usd_7d", "unknown"] == pytest.approx(
                number * COST
            )
            owner.execute(*request(100 + number, 0.1, account_id=None))


def test_a_deleted_account_is_not_shown_by_the_requests_that_are_still_remembered(
    new: Path, taker: Taker, values: Values
) -> None:
    take = taker(store=f"codex-lb:{new}")
    assert ("codex_lb_proxy_account_cycle_cost_usd", "a") in values(take())
    with closing(sqlite3.connect(new, isolation_level=None)) as owner:
        for table, column in (("usage_history", "account_id"), ("accounts", "id")):
            owner.execute(f"DELETE FROM {table} WHERE {column} = 'a'")
        assert not [key for key in values(take()) if "a" in key[1:2]]


def test_accounts_that_are_kept_apart_are_asked_for(tmp_path: Path, taker: Taker) -> None:
    apart = fill(tmp_path / "store.db", OLD_HISTORY, rows=[])
    error = taker(store=f"codex-lb:{apart}")().errors["accounts"]
    assert error == (
        "the codex-lb store has no table accounts; where they are in a file of their own, name it too: "
        "codex-lb:PATH,accounts=PATH"
    )
