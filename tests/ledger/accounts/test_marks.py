"""Marks: the later one holds, a person's word goes before, and they end by themselves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine

from ledger.accounts import audit, versions
from ledger.accounts import changes as accounts
from ledger.accounts.configured import Description
from ledger.accounts.marks import Mark, record_marks, restore
from ledger.accounts.pool import Member, read_fleet

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


def test_what_was_under_way_when_a_person_resumed_is_no_mark(anna: Engine) -> None:
    with anna.begin() as connection:
        accounts.resume(connection, "anna", later(5))
        record_marks(connection, [quota(6, 4.9)])
        assert (read(connection).status, read(connection).errors) == ("active", 0)
        record_marks(connection, [quota(6, 5)])
        assert read(connection).status == "quota_exceeded"


def test_a_permanent_failure_holds_also_when_it_is_told_late(anna: Engine) -> None:
    """Another process was quicker to tell of a mere error."""
    dead = Mark("anna", later(1), later(0.5), "permanent_failure", "deactivated", code="account_deleted")
    with anna.begin() as connection:
        record_marks(connection, [pause(2, 2)])
        version = versions.current(connection)
        record_marks(connection, [dead])
        assert (read(connection).status, read(connection).reason) == ("deactivated", "account_deleted")
        assert read(connection).errors == 2
        assert versions.current(connection) == version + 1
        record_marks(connection, [dead])
        assert versions.current(connection) == version + 1


@pytest.mark.parametrize("order", [1, -1])
def test_a_permanent_failure_holds_against_others_of_its_batch(anna: Engine, order: int) -> None:
    dead = Mark("anna", later(1), later(0.5), "permanent_failure", "deactivated", code="account_deleted")
    with anna.begin() as connection:
        record_marks(connection, [dead, quota(2)][::order])
        assert (read(connection).status, read(connection).reset_at) == ("deactivated", None)


class TestAClockThatWasSetBack:
    """An hour ahead at first; then at `later(10)` it goes right."""

    NOW = later(10)
    HOUR = 3_600

    def test_marks_of_now_hold_against_those_of_the_wrong_hour(self, anna: Engine) -> None:
        with anna.begin() as connection:
            record_marks(connection, [pause(self.HOUR, 3)], later(self.HOUR))
            record_marks(connection, [pause(10, 1)], self.NOW)
            assert (read(connection).errors, read(connection).marked_at) == (1, self.NOW)

    def test_a_mark_of_the_wrong_hour_that_is_told_late_is_none(self, anna: Engine) -> None:
        with anna.begin() as connection:
            accounts.resume(connection, "anna", later(9))
            record_marks(connection, [quota(self.HOUR, self.HOUR - 1)], self.NOW)
            assert (read(connection).status, read(connection).errors) == ("active", 0)

    def test_a_word_of_the_wrong_hour_does_not_silence_marks(self, anna: Engine) -> None:
        with anna.begin() as connection:
            accounts.resume(connection, "anna", later(self.HOUR))
            record_marks(connection, [quota(10, 9)], self.NOW)
            assert read(connection).status == "quota_exceeded"

    @pytest.mark.parametrize("seconds", [0, 59])
    def test_hosts_need_not_agree_to_the_second(self, anna: Engine, seconds: int) -> None:
        with anna.begin() as connection:
            record_marks(connection, [pause(10 + seconds, 2)], self.NOW)
            record_marks(connection, [pause(10 + seconds - 1, 1)], self.NOW)
            assert read(connection).errors == 2


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


def test_a_spent_quota_that_ends_is_audited_a_rate_limit_is_not(anna: Engine) -> None:
    limit = Mark("anna", later(1), later(1), "rate_limit", "rate_limited", RESET, "x", 0, 1)
    with anna.begin() as connection:
        record_marks(connection, [limit])
        assert restore(connection, later(3_600)) == 1
        assert [e.action for e in audit.entries(connection)] == ["add"]
        record_marks(connection, [replace(quota(2, 1), at=later(3_601), reset_at=RESET + 9)])
        assert restore(connection, later(3_609)) == 1
        assert restore(connection, later(3_610)) == 0
        found = audit.entries(connection)
    assert [e.action for e in found] == ["restore", "mark", "add"]
    assert found[0] == audit.Entry("anna", later(3_609), "restore", "time", "quota_exceeded", "active", None)


def test_what_a_person_decided_never_ends_by_itself(anna: Engine) -> None:
    with anna.begin() as connection:
        accounts.pause(connection, "anna", later(1))
        assert restore(connection, later(10**6)) == 0
        assert read(connection).status == "paused"


def test_marks_and_a_person_wait_for_each_other_and_never_crosswise(anna: Engine) -> None:
    """Both change the account, and raise the version; a server ends one of two that wait in a circle."""

    def note() -> None:
        with anna.begin() as connection:
            record_marks(connection, [quota(1)], NOON)

    with ThreadPoolExecutor(1) as other:
        with anna.begin() as connection:
            versions.hold(connection)
            waiting = other.submit(note)
            wait([waiting], timeout=0.3)  # it has gone as far as it can by then
            accounts.pause(connection, "anna", later(2))
        waiting.result(timeout=30)
    with anna.connect() as connection:
        assert read(connection).status == "paused"
