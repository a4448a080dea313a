"""Marks: the later one holds, a person's word goes before, and they end by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine

from ledger import accounts, audit, versions
from ledger.described import Description
from ledger.fleet import Member, read_fleet
from ledger.marks import Mark, record_marks, restore

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
RESET = int(NOON.timestamp()) + 3_600


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def anna(ledger: Engine) -> Engine:
    """A ledger with one account."""
    with ledger.begin() as connection:
        accounts.add(connection, Description("anna", "env:ANNA"), NOON)
    return ledger


def read(connection: Connection) -> Member:
    (found,) = read_fleet(connection).members
    return found


def quota(at: float, began: float = 0.5) -> Mark:
    return Mark(
        "anna",
        later(at),
        later(began),
        "quota_exceeded",
        "quota_exceeded",
        RESET,
        "insufficient_quota",
        0.0,
        1,
    )


def pause(at: float, errors: int) -> Mark:
    return Mark("anna", later(at), later(0.5), "error", None, None, "http_500", RESET - at, errors)


def test_a_mark_is_read_back(anna: Engine) -> None:
    with anna.begin() as connection:
        record_marks(connection, [quota(1)])
        found = read(connection)
    assert (found.status, found.reset_at, found.errors, found.marked_at) == (
        "quota_exceeded",
        RESET,
        1,
        later(1),
    )


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_marks_the_later_one_holds_in_whatever_order_they_come(anna: Engine, order: int) -> None:
    with anna.begin() as connection:
        for mark in [pause(1, 1), pause(2, 2)][::order]:
            record_marks(connection, [mark])
        assert read(connection).errors == 2
        assert read(connection).cooldown_until == RESET - 2


def test_a_pause_right_after_a_spent_quota_does_not_hide_it(anna: Engine) -> None:
    with anna.begin() as connection:
        record_marks(connection, [quota(1), pause(2, 2)])
        assert read(connection).status == "quota_exceeded"


def test_a_success_right_after_a_spent_quota_does_not_hide_it(anna: Engine) -> None:
    with anna.begin() as connection:
        record_marks(connection, [quota(1), Mark("anna", later(2), later(0.6), "cleared")])
        assert read(connection).status == "quota_exceeded"
        assert read(connection).errors == 0


def test_storing_again_changes_nothing(anna: Engine) -> None:
    with anna.begin() as connection:
        record_marks(connection, [quota(1)])
        version, entries = versions.current(connection), audit.entries(connection)
        record_marks(connection, [quota(1)])
        assert versions.current(connection) == version
        assert audit.entries(connection) == entries


def test_a_mark_does_not_overrule_a_person(anna: Engine) -> None:
    with anna.begin() as connection:
        accounts.pause(connection, "anna", later(1))
        record_marks(connection, [quota(2)])
        assert read(connection).status == "paused"
        assert [e.action for e in audit.entries(connection)] == ["pause", "add"]


def test_the_old_credentials_failure_is_no_mark_against_the_new_one(anna: Engine) -> None:
    dead = Mark("anna", later(9), later(1), "permanent_failure", "reauth_required", code="invalid_api_key")
    with anna.begin() as connection:
        accounts.reauth(connection, "anna", later(5))
        record_marks(connection, [dead])
        assert read(connection).status == "active"
        record_marks(connection, [Mark("anna", later(9), later(6), dead.event, dead.status, code=dead.code)])
        assert (read(connection).status, read(connection).reason) == ("reauth_required", "invalid_api_key")


def test_a_permanent_failure_is_not_softened(anna: Engine) -> None:
    with anna.begin() as connection:
        record_marks(connection, [Mark("anna", later(1), later(1), "permanent_failure", "deactivated")])
        record_marks(connection, [quota(2, 1.5)])
        assert read(connection).status == "deactivated"


def test_an_unknown_account_is_not_made(anna: Engine) -> None:
    with anna.begin() as connection:
        version = versions.current(connection)
        record_marks(connection, [Mark("ghost", later(1), later(1), "error", errors=1)])
        assert [m.account.id for m in read_fleet(connection).members] == ["anna"]
        assert versions.current(connection) == version


def test_a_spent_quota_and_a_dead_credential_are_audited_a_rate_limit_is_not(anna: Engine) -> None:
    with anna.begin() as connection:
        record_marks(
            connection, [Mark("anna", later(1), later(1), "rate_limit", "rate_limited", RESET, "x", 0, 1)]
        )
        assert [e.action for e in audit.entries(connection)] == ["add"]
        record_marks(connection, [quota(2, 1)])
        record_marks(
            connection,
            [Mark("anna", later(3), later(1), "permanent_failure", "deactivated", code="account_deleted")],
        )
        found = audit.entries(connection)[:2]
    assert [(e.action, e.origin, e.from_status, e.to_status, e.reason) for e in found] == [
        ("mark", "proxy", "quota_exceeded", "deactivated", "account_deleted"),
        ("mark", "proxy", "rate_limited", "quota_exceeded", "insufficient_quota"),
    ]


@pytest.mark.parametrize(("seconds", "status"), [(3_599, "quota_exceeded"), (3_600, "active")])
def test_a_spent_quota_ends_at_its_reset(anna: Engine, seconds: int, status: str) -> None:
    with anna.begin() as connection:
        record_marks(connection, [quota(1)])
        version = versions.current(connection)
        assert restore(connection, later(seconds)) == (status == "active")
        assert read(connection).status == status
        assert versions.current(connection) - version == (status == "active")


def test_what_a_person_decided_never_ends_by_itself(anna: Engine) -> None:
    with anna.begin() as connection:
        accounts.pause(connection, "anna", later(1))
        assert restore(connection, later(10**6)) == 0
        assert read(connection).status == "paused"
