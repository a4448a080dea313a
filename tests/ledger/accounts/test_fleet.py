"""The accounts as a router reads them: with their windows, consistent, and cheap to look at."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, insert

from ledger.accounts import changes as accounts
from ledger.accounts.configured import Description
from ledger.accounts.pool import read_fleet
from ledger.quota.samples import Told
from ledger.requests.writes import ensure_account, record_samples
from ledger.schema import usage_history
from ledger.values import UsageSample

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
EPOCH = int(NOON.timestamp())


def sample(minute: float, window: str, used: float, minutes: int | None = None) -> UsageSample:
    return UsageSample("anna", NOON + timedelta(minutes=minute), window, used, EPOCH + 9_999, minutes)


def test_each_slot_has_its_latest_word(ledger: Engine) -> None:
    with ledger.begin() as connection:
        accounts.add(connection, Description("anna", "env:ANNA"), NOON)
        record_samples(
            connection,
            [
                sample(0, "primary", 10, 300),
                sample(1, "primary", 20, 300),
                sample(0, "secondary", 30, 10_080),
                sample(2, "secondary", 31, 10_080),
            ],
        )
        (found,) = read_fleet(connection).members
    assert found.primary == Told(NOON + timedelta(minutes=1), 20, EPOCH + 9_999)
    assert found.secondary == Told(NOON + timedelta(minutes=2), 31, EPOCH + 9_999)


def test_a_week_is_a_secondary_window_whatever_it_is_called(ledger: Engine) -> None:
    with ledger.begin() as connection:
        accounts.add(connection, Description("anna", "env:ANNA"), NOON)
        record_samples(connection, [sample(1, "primary", 55, 10_080)])
        (found,) = read_fleet(connection).members
    assert found.primary is None
    assert found.secondary is not None
    assert found.secondary.used_percent == 55


@pytest.mark.parametrize(("at", "used"), [(EPOCH + 9_998, 80.0), (EPOCH + 9_999, 0.0)])
def test_a_window_whose_reset_has_passed_is_not_used(at: float, used: float) -> None:
    assert Told(NOON, 80.0, EPOCH + 9_999).used(at) == used


def test_an_account_without_a_credential_takes_no_requests(ledger: Engine) -> None:
    with ledger.begin() as connection:
        ensure_account(connection, id="default", created_at=NOON)
        assert read_fleet(connection).members == ()


@pytest.mark.slow
def test_reading_does_not_grow_with_history(ledger: Engine) -> None:
    with ledger.begin() as connection:
        for number in range(50):
            accounts.add(connection, Description(f"a{number}", "env:A"), NOON)
        rows = [
            {
                "account_id": f"a{n % 50}",
                "recorded_at": NOON + timedelta(seconds=n),
                "window": "secondary",
                "used_percent": 1.0,
                "window_minutes": 10_080,
            }
            for n in range(20_000)
        ]
        connection.execute(insert(usage_history), rows)
        read_fleet(connection)
        read, driver = [], connection.connection.driver_connection
        if isinstance(driver, sqlite3.Connection):
            driver.set_progress_handler(lambda: read.append(100), 100)
        found = read_fleet(connection).members
        if isinstance(driver, sqlite3.Connection):
            driver.set_progress_handler(None, 0)
        assert sum(read) < 20_000, "steps of SQLite: one for each row of history would be more"
    assert {m.secondary.at for m in found if m.secondary} == {
        NOON + timedelta(seconds=n) for n in range(19_950, 20_000)
    }
