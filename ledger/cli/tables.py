"""The accounts, and what was done to them, as tables for people. Pure; times are UTC."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ledger.accounts.audit import Entry
from ledger.accounts.configured import Description
from ledger.accounts.marks import PASSING
from ledger.accounts.pool import Member
from ledger.quota.samples import Told

FULL = 100.0
NO_ACCOUNTS = "no accounts: the proxy forwards each caller's own credential"
NOT_YET = "pending: added when the proxy starts"

_HEAD = ("ID", "EMAIL", "PLAN", "POOL", "5 H", "WEEK", "CREDENTIAL", "STATUS")
_HISTORY = ("TIME", "ID", "ACTION", "BY", "FROM", "TO", "REASON")


def fleet_table(members: Sequence[Member], awaited: Sequence[Description], now: datetime) -> str:
    """One line for each account.

    Args:
        awaited: accounts of the configuration file that the ledger does not have yet.
    """
    if not members and not awaited:
        return NO_ACCOUNTS
    rows = [
        _row(m.account, _used(m.primary, now), _used(m.secondary, now), standing(m, now)) for m in members
    ]
    return table(_HEAD, [*rows, *(_row(account, "-", "-", NOT_YET) for account in awaited)])


def history_table(entries: Sequence[Entry]) -> str:
    """One line for each change, in the order that they come in."""
    return table(_HISTORY, [_change(entry) for entry in entries])


def standing(member: Member, now: datetime) -> str:
    """An account's status, and what else keeps requests away from it: a full window, a rest."""
    limited = member.status in PASSING
    until = _until(member.reset_at, now) if limited else ""
    over = limited and member.reset_at is not None and not until
    status = "active" if over else member.status + until
    reason = f" ({member.reason})" if member.reason else ""
    return ", ".join([status + reason, *_besides(member, now)])


def _besides(member: Member, now: datetime) -> list[str]:
    windows = (("week", member.secondary), ("5 h", member.primary))
    full = ((name, told.reset_at) for name, told in windows if told and told.used_percent >= FULL)
    found = [f"{name} full{end}" for name, reset_at in full if (end := _until(reset_at, now))]
    rests = _until(max(member.wait_until, member.cooldown_until), now)
    return [*found, f"cooling down{rests}"] if rests else found


def _until(end: float | None, now: datetime) -> str:
    """Nothing where the end has passed, or is not known: then it keeps no request away."""
    if end is None or end <= now.timestamp():
        return ""
    return f" until {datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M:%SZ}"


def _row(account: Description, primary: str, secondary: str, status: str) -> tuple[str, ...]:
    described = (account.id, account.email or "-", account.plan, account.pool)
    return (*described, primary, secondary, account.credential, status)


def _used(told: Told | None, now: datetime) -> str:
    return "-" if told is None else f"{told.used(now.timestamp()):.0f}%"


def _change(entry: Entry) -> tuple[str, ...]:
    by = f"{entry.origin} ({entry.actor})" if entry.actor else entry.origin
    told = (entry.action, by, entry.from_status, entry.to_status, entry.reason)
    return (f"{entry.at:%Y-%m-%d %H:%M:%SZ}", entry.account_id, *(text or "-" for text in told))


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Columns as wide as their widest cell."""
    lines = [head, *(tuple(map(_printable, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _printable(cell: str) -> str:
    """A code comes from a provider: what a terminal would obey is shown, not sent."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cell)
