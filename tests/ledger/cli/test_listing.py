"""The tables that people read: what stands against an account is in them, and nothing a terminal obeys."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ledger.accounts.audit import Entry
from ledger.accounts.configured import Description
from ledger.accounts.pool import Member
from ledger.cli.tables import NO_ACCOUNTS, fleet_table, history_table, standing
from ledger.quota.samples import Told

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
EPOCH = int(NOON.timestamp())
ANNA = Description("anna", "env:ANNA_KEY", "anna@example.com", "plus")
ONE, TWO = "2026-11-20 13:00:00Z", "2026-11-20 14:00:00Z"


def member(status: str = "active", **besides: object) -> Member:
    return replace(Member(ANNA, status, "command"), **besides)  # type: ignore[arg-type]


def window(used: float, reset: int | None = 3_600) -> Told:
    return Told(NOON - timedelta(minutes=1), used, None if reset is None else EPOCH + reset)


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (member(), "active"),
        (member("paused"), "paused"),
        (member("reauth_required", reason="invalid_api_key"), "reauth_required (invalid_api_key)"),
        (member("quota_exceeded", reset_at=EPOCH + 3_600), f"quota_exceeded until {ONE}"),
        (member("quota_exceeded"), "quota_exceeded"),
        (member("rate_limited", reset_at=EPOCH), "active"),
        (member(secondary=window(100)), f"active, week full until {ONE}"),
        (member(primary=window(100)), f"active, 5 h full until {ONE}"),
        (member("paused", secondary=window(100)), f"paused, week full until {ONE}"),
        (member(cooldown_until=EPOCH + 7_200.0), f"active, cooling down until {TWO}"),
        (
            member(secondary=window(100), primary=window(100, 7_200), cooldown_until=EPOCH + 3_600.0),
            f"active, week full until {ONE}, 5 h full until {TWO}, cooling down until {ONE}",
        ),
        (member(secondary=window(99.9)), "active"),
        (member(secondary=window(100, 0)), "active"),
        (member(secondary=window(100, None)), "active"),
        (member(cooldown_until=float(EPOCH)), "active"),
    ],
)
def test_a_standing_says_what_keeps_requests_away(account: Member, expected: str) -> None:
    assert standing(account, NOON) == expected


def test_the_accounts() -> None:
    ben = Description("ben", "env:BEN_KEY", plan="pro", pool="pinned")
    found = fleet_table([member(primary=window(12.4), secondary=window(56))], [ben], NOON)
    assert found.splitlines() == [
        "ID    EMAIL             PLAN  POOL    5 H  WEEK  CREDENTIAL    STATUS",
        "anna  anna@example.com  plus  full    12%  56%   env:ANNA_KEY  active",
        "ben   -                 pro   pinned  -    -     env:BEN_KEY   pending: added when the proxy starts",
    ]


def test_a_window_whose_reset_has_passed_is_empty() -> None:
    assert fleet_table([member(secondary=window(80, 0))], [], NOON).splitlines()[1].split()[5] == "0%"


def test_without_accounts_it_is_said_what_happens() -> None:
    assert fleet_table([], [], NOON) == NO_ACCOUNTS


def test_the_history() -> None:
    entries = [
        Entry("anna", NOON, "restore", "time", "quota_exceeded", "active"),
        Entry("anna", NOON, "mark", "proxy", "active", "deactivated", "account_deleted"),
    ]
    assert history_table(entries).splitlines() == [
        "TIME                  ID    ACTION   BY     FROM            TO           REASON",
        "2026-11-20 12:00:00Z  anna  restore  time   quota_exceeded  active       -",
        "2026-11-20 12:00:00Z  anna  mark     proxy  active          deactivated  account_deleted",
    ]


@pytest.mark.parametrize("nasty", ["a\nb", "a\x1b[31m", "a\u2028b", "a\u202eb"])
def test_nothing_is_sent_that_a_terminal_obeys(nasty: str) -> None:
    """Older ledgers may hold such an e-mail address, and a provider chooses its codes."""
    listed = fleet_table([replace(member(), account=replace(ANNA, email=nasty))], [], NOON)
    told = history_table([Entry("anna", NOON, "mark", "proxy", "active", "deactivated", nasty)])
    for text in (listed, told):
        assert len(text.splitlines()) == 2
        assert all(c.isprintable() for c in text.replace("\n", ""))
        assert "a\N{REPLACEMENT CHARACTER}" in text
