"""The accounts as a table for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ledger.fleet import Member
from ledger.samples import Told

HEAD = ("ID", "EMAIL", "PLAN", "POOL", "STATUS", "UNTIL", "5 H", "WEEK", "CREDENTIAL")


def table(members: Sequence[Member], now: datetime) -> str:
    """One line for each account; `UNTIL` is when a limit or a cooldown ends, UTC."""
    if not members:
        return "no accounts: the proxy passes each caller's own credential on"
    rows = [HEAD, *(_row(member, now) for member in members)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(member: Member, now: datetime) -> tuple[str, ...]:
    account = member.account
    return (
        account.id,
        account.email or "-",
        account.plan,
        account.pool,
        member.status + (f" ({member.reason})" if member.reason else ""),
        _until(member, now),
        _used(member.primary, now),
        _used(member.secondary, now),
        account.credential,
    )


def _until(member: Member, now: datetime) -> str:
    end = max(float(member.reset_at or 0), member.cooldown_until)
    return f"{datetime.fromtimestamp(end, UTC):%m-%d %H:%M:%SZ}" if end > now.timestamp() else "-"


def _used(window: Told | None, now: datetime) -> str:
    return "-" if window is None else f"{window.used(now.timestamp()):.0f}%"
