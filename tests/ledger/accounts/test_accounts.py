"""Accounts: described, added, changed by people, written to the audit, seen by others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, select

from ledger.accounts import audit, versions
from ledger.accounts import changes as accounts
from ledger.accounts.configured import Description
from ledger.accounts.marks import Mark, record_marks
from ledger.accounts.pool import Member, read_fleet
from ledger.errors import AccountConflict, AccountError, AccountExists, UnknownAccount
from ledger.requests.writes import record_samples
from ledger.schema import accounts as table
from ledger.values import UsageSample

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ANNA = Description("anna", "env:ANNA_KEY", "anna@example.com", "plus")
BEN = Description("ben", "codex:/home/ben/auth.json", plan="pro", pool="pinned")


def later(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def told(seconds: float, window: str, used: float) -> UsageSample:
    return UsageSample("anna", later(seconds), window, used, 2_000_000_000)


def member(connection: Connection, name: str) -> Member:
    return {m.account.id: m for m in read_fleet(connection).members}[name]


def statuses(connection: Connection) -> dict[str, str]:
    return {m.account.id: m.status for m in read_fleet(connection).members}


class TestAdd:
    def test_an_account_is_read_back_as_it_was_described(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            accounts.add(connection, ANNA, NOON)
            accounts.add(connection, BEN, NOON)
        with ledger.connect() as connection:
            assert [m.account for m in read_fleet(connection).members] == [ANNA, BEN]
            assert statuses(connection) == {"anna": "active", "ben": "active"}

    def test_two_of_one_id_are_refused(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            accounts.add(connection, ANNA, NOON)
            with pytest.raises(AccountExists, match="account 'anna': it already exists"):
                accounts.add(connection, ANNA, NOON)

    def test_one_that_was_removed_comes_back(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            accounts.add(connection, ANNA, NOON)
            accounts.remove(connection, "anna", later(1))
            assert statuses(connection) == {}
            accounts.add(connection, ANNA, later(2))
            assert statuses(connection) == {"anna": "active"}

    def test_one_that_comes_back_is_well(self, ledger: Engine) -> None:
        dead = Mark("anna", later(1), NOON, "permanent_failure", "deactivated", code="account_deleted")
        with ledger.begin() as connection:
            accounts.add(connection, ANNA, NOON)
            record_marks(connection, [dead])
            accounts.remove(connection, "anna", later(2))
            accounts.add(connection, ANNA, later(3))
            now = member(connection, "anna")
        assert (now.status, now.reason, now.resumed_at) == ("active", None, later(3))

    def test_removing_keeps_the_row_but_not_the_reference(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            accounts.add(connection, ANNA, NOON)
            accounts.remove(connection, "anna", later(1))
            row = connection.execute(select(table).where(table.c.id == "anna")).one()
        assert row.credential is None
        assert row.delete_requested_at == later(1)


class TestActions:
    @pytest.mark.parametrize("action", [accounts.pause, accounts.resume, accounts.reauth, accounts.remove])
    def test_an_unknown_account_is_named(
        self, ledger: Engine, action: Callable[[Connection, str, datetime], None]
    ) -> None:
        with ledger.begin() as connection, pytest.raises(UnknownAccount, match="account 'nobody'"):
            action(connection, "nobody", NOON)

    def test_pause_and_resume(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            accounts.add(connection, ANNA, NOON)
            accounts.pause(connection, "anna", later(1))
            assert statuses(connection) == {"anna": "paused"}
            accounts.resume(connection, "anna", later(2))
            assert statuses(connection) == {"anna": "active"}

    def test_resume_forgets_limits_and_cooldowns(self, ledger: Engine) -> None:
        limit = Mark("anna", later(1), NOON, "rate_limit", "rate_limited", 2_000_000_000, "x", 2e9, 4)
        with ledger.begin() as connection:
            accounts.add(connection, ANNA, NOON)
            record_marks(connection, [limit])
            assert member(connection, "anna").cooldown_until == 2e9
            accounts.resume(connection, "anna", later(2))
            now = member(connection, "anna")
        assert (now.status, now.reset_at, now.cooldown_until, now.errors) == ("active", None, 0.0, 0)

    def test_resume_forgets_windows_that_were_told_before(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            accounts.add(connection, ANNA, NOON)
            record_samples(connection, [told(1, "primary", 100.0), told(2, "secondary", 100.0)])
            accounts.resume(connection, "anna", later(2))
            now = member(connection, "anna")
            assert (now.status, now.primary, now.secondary) == ("active", None, None)
            assert now.resumed_at == later(2)
            record_samples(connection, [told(9, "secondary", 99.0)])
            now = member(connection, "anna")
        assert now.primary is None
        assert now.secondary is not None
        assert now.secondary.at == later(9)

    @pytest.mark.parametrize("act", [accounts.resume, accounts.reauth])
    def test_a_persons_word_holds_against_a_clock_that_was_ahead(
        self, ledger: Engine, act: Callable[[Connection, str, datetime], None]
    ) -> None:
        ahead = Mark("anna", later(3_600), later(3_599), "error", cooldown_until=2e9, errors=3)
        with ledger.begin() as connection:
            accounts.add(connection, ANNA, NOON)
            record_marks(connection, [ahead])
            act(connection, "anna", later(1))
            now = member(connection, "anna")
            assert (now.cooldown_until, now.errors, now.marked_at) == (0.0, 0, later(1))
            record_marks(connection, [Mark("anna", later(3), later(2), "error", errors=1)])
            assert member(connection, "anna").errors == 1

    def test_a_dead_credential_is_renewed_not_resumed(self, ledger: Engine) -> None:
        dead = Mark("anna", later(1), NOON, "permanent_failure", "reauth_required", code="invalid_api_key")
        with ledger.begin() as connection:
            accounts.add(connection, ANNA, NOON)
            record_marks(connection, [dead])
            with pytest.raises(AccountConflict, match=r"reauth_required \(invalid_api_key\); renew"):
                accounts.resume(connection, "anna", later(2))
            accounts.reauth(connection, "anna", later(3))
            now = member(connection, "anna")
        assert (now.status, now.reason, now.renewed_at) == ("active", None, later(3))
        assert now.resumed_at == later(3)

    def test_a_paused_account_with_a_new_credential_stays_paused(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            accounts.add(connection, ANNA, NOON)
            accounts.pause(connection, "anna", later(1))
            accounts.reauth(connection, "anna", later(2))
            assert statuses(connection) == {"anna": "paused"}


class TestAudit:
    def test_every_action_is_written_with_time_and_origin(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            accounts.add(connection, ANNA, NOON)
            accounts.pause(connection, "anna", later(1), "console")
            accounts.reauth(connection, "anna", later(2))
            accounts.resume(connection, "anna", later(3))
            accounts.remove(connection, "anna", later(4))
        with ledger.connect() as connection:
            found = audit.entries(connection, "anna")
        assert [(e.action, e.at, e.origin, e.from_status, e.to_status) for e in reversed(found)] == [
            ("add", NOON, "command", None, "active"),
            ("pause", later(1), "console", "active", "paused"),
            ("reauth", later(2), "command", "paused", "paused"),
            ("resume", later(3), "command", "paused", "active"),
            ("remove", later(4), "command", "active", None),
        ]

    def test_an_action_that_is_taken_back_leaves_no_trace(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            accounts.add(connection, ANNA, NOON)
        with pytest.raises(ZeroDivisionError), ledger.begin() as connection:
            accounts.pause(connection, "anna", later(1))
            raise ZeroDivisionError
        with ledger.connect() as connection:
            assert [e.action for e in audit.entries(connection)] == ["add"]
            assert statuses(connection) == {"anna": "active"}

    @pytest.mark.parametrize("act", [accounts.pause, accounts.resume, accounts.reauth, accounts.remove])
    def test_every_change_raises_the_version(
        self, ledger: Engine, act: Callable[[Connection, str, datetime], None]
    ) -> None:
        with ledger.begin() as connection:
            accounts.add(connection, ANNA, NOON)
            before = versions.current(connection)
            act(connection, "anna", later(1))
            assert versions.current(connection) == before + 1


class TestSynchronise:
    def test_the_file_decides_over_its_own_accounts(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            accounts.add(connection, Description("spare", "env:SPARE"), NOON)
            accounts.synchronise(connection, [ANNA, BEN], NOON)
            accounts.pause(connection, "anna", later(1))
            pro = Description("anna", "env:ANNA_KEY", "anna@example.com", "pro")
            accounts.synchronise(connection, [pro], later(2))
            found = {m.account.id: (m.account.plan, m.status) for m in read_fleet(connection).members}
        assert found == {"anna": ("pro", "paused"), "spare": ("api", "active")}

    def test_the_same_file_changes_nothing(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            accounts.synchronise(connection, [ANNA, BEN], NOON)
            before = versions.current(connection)
            accounts.synchronise(connection, [BEN, ANNA], later(1))
            assert versions.current(connection) == before

    def test_a_new_reference_is_a_new_credential(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            accounts.synchronise(connection, [ANNA], NOON)
            accounts.synchronise(connection, [Description("anna", "file:/run/key")], later(9))
            assert member(connection, "anna").renewed_at == later(9)

    @pytest.mark.parametrize("status", ["reauth_required", "deactivated"])
    def test_a_new_reference_ends_what_the_old_one_was_refused_for(self, ledger: Engine, status: str) -> None:
        dead = Mark("anna", later(1), NOON, "permanent_failure", status, code="invalid_api_key", errors=1)
        with ledger.begin() as connection:
            accounts.synchronise(connection, [ANNA], NOON)
            record_marks(connection, [dead])
            accounts.synchronise(connection, [replace(ANNA, email="anna@example.org")], later(2))
            assert member(connection, "anna").status == status
            accounts.synchronise(connection, [replace(ANNA, credential="env:OTHER")], later(3))
            now = member(connection, "anna")
            found = audit.entries(connection, "anna")[0]
        assert (now.status, now.reason, now.errors, now.resumed_at) == ("active", None, 0, later(3))
        assert (found.action, found.origin, found.from_status, found.to_status) == (
            "change",
            "config",
            status,
            "active",
        )

    def test_a_paused_account_with_a_new_reference_stays_paused(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            accounts.synchronise(connection, [ANNA], NOON)
            accounts.pause(connection, "anna", later(1))
            accounts.synchronise(connection, [replace(ANNA, credential="env:OTHER")], later(2))
            assert statuses(connection) == {"anna": "paused"}

    def test_a_path_is_absolute_in_the_ledger_and_no_change_the_next_time(
        self, ledger: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        given = [Description("anna", "file:key.txt")]
        with ledger.begin() as connection:
            accounts.synchronise(connection, given, NOON)
            assert member(connection, "anna").account.credential == f"file:{tmp_path / 'key.txt'}"
            before = versions.current(connection)
            accounts.synchronise(connection, given, later(1))
            assert versions.current(connection) == before

    def test_an_id_that_was_added_by_command_too_is_refused(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            accounts.add(connection, ANNA, NOON)
            with pytest.raises(AccountExists, match="account 'anna': it was added by command too"):
                accounts.synchronise(connection, [ANNA], NOON)

    def test_a_command_does_not_remove_what_the_file_brings_back(self, ledger: Engine) -> None:
        with ledger.begin() as connection:
            accounts.synchronise(connection, [ANNA], NOON)
            with pytest.raises(AccountConflict, match="configuration file"):
                accounts.remove(connection, "anna", later(1))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Description("anna", "env:A", plan="gold"), "unknown plan 'gold'; allowed: free, plus, pro"),
        (Description("anna", "env:A", pool="best"), "unknown pool 'best'"),  # type: ignore[arg-type]
        (Description("anna", "env:A", email="a\nb"), "email: allowed: printable text"),
        (Description("anna", "env:A", email="a\x1b[31m"), "email: allowed: printable text"),
        (Description("anna", "env:A", email="a" * 321), "at most 320"),
        (Description("anna", "file:~no-such-user/key"), "the home of ~no-such-user is not known"),
        (Description("anna", "file:/tmp/\0key"), "credential is not a reference"),
        (Description("anna", "codex:/" + "a" * 1_000), "at most 1000 characters"),
        (Description("an na", "env:A"), "an id is made of letters"),
        (Description("a" * 101, "env:A"), "an id is made of letters"),
        (Description("default", "env:A"), "this id is reserved"),
    ],
)
def test_a_wrong_description_names_the_account(ledger: Engine, wrong: Description, says: str) -> None:
    with ledger.begin() as connection:
        with pytest.raises(AccountError) as caught:
            accounts.add(connection, wrong, NOON)
        assert f"account {wrong.id!r}: " in str(caught.value)
        assert says in str(caught.value)
        assert read_fleet(connection).members == ()


@pytest.mark.parametrize(
    "secret", ["sk-proj-hunter2", "env:sk-hunter2", "hunter2", "file: ", "http://hunter2"]
)
def test_a_secret_in_the_wrong_place_is_neither_stored_nor_shown(ledger: Engine, secret: str) -> None:
    with ledger.begin() as connection:
        with pytest.raises(AccountError, match="credential is not a reference") as caught:
            accounts.add(connection, Description("anna", secret), NOON)
        assert "hunter2" not in str(caught.value)
        assert connection.execute(select(table.c.id)).all() == []
