"""All accounts as a router sees them: description, status, quota windows, marks, in one consistent read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, select

from ledger.accounts import versions
from ledger.accounts.configured import Description, Pool
from ledger.quota.samples import Told, latest
from ledger.quota.windows import Slot
from ledger.schema import account_marks, accounts


@dataclass(frozen=True, slots=True)
class Member:
    """One account.

    Attributes:
        status: in lower case; active, rate_limited, quota_exceeded, paused, reauth_required, deactivated.
        reset_at: epoch seconds at which a passing status ends.
        reason: why it is deactivated or needs a new credential: the provider's code.
        renewed_at: when its credential was given or renewed; aware UTC.
        resumed_at: when a person last said that it is well, by adding or resuming it or by giving it a new
            credential; aware UTC, never before `renewed_at`. What was noticed before does not count.
        event, marked_at, cooldown_until, errors, wait_until: what was noticed last, as in
            `ledger.accounts.marks.Mark`.
        primary, secondary: its quota windows, where one was told after `resumed_at`.
    """

    account: Description
    status: str
    origin: str
    reset_at: int | None = None
    reason: str | None = None
    renewed_at: datetime | None = None
    resumed_at: datetime | None = None
    event: str | None = None
    marked_at: datetime | None = None
    cooldown_until: float = 0.0
    errors: int = 0
    wait_until: float = 0.0
    primary: Told | None = None
    secondary: Told | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """All accounts that requests can be routed to, by id.

    Attributes:
        version: as `ledger.accounts.versions.current` gave it before anything else was read, so that a change
            in between is read again rather than missed.
    """

    version: int
    members: tuple[Member, ...] = ()


def read_fleet(connection: Connection) -> Fleet:
    """The accounts that have a credential and were not removed."""
    version = versions.current(connection)
    windows = latest(connection)
    mark = account_marks.c
    rows = connection.execute(
        select(accounts, mark.event, mark.marked_at, mark.wait_until, mark.cooldown_until, mark.errors)
        .select_from(accounts.outerjoin(account_marks, mark.account_id == accounts.c.id))
        .where(accounts.c.credential.is_not(None), accounts.c.delete_requested_at.is_(None))
        .order_by(accounts.c.id)
    )
    return Fleet(version, tuple(_member(row, windows) for row in rows))


def _member(row: Any, windows: dict[tuple[str, Slot], Told]) -> Member:
    return Member(
        account=Description(
            id=row.id,
            credential=row.credential,
            email=row.email,
            plan=row.plan_type.casefold(),
            upstream_base_url=row.upstream_base_url,
            pool=cast(Pool, row.pool),
        ),
        status=row.status.casefold(),
        origin=row.origin,
        reset_at=row.reset_at,
        reason=row.deactivation_reason,
        renewed_at=row.credential_renewed_at,
        resumed_at=row.resumed_at,
        event=row.event,
        marked_at=row.marked_at,
        wait_until=row.wait_until or 0.0,
        cooldown_until=row.cooldown_until or 0.0,
        errors=row.errors or 0,
        primary=_since(row.resumed_at, windows.get((row.id, "primary"))),
        secondary=_since(row.resumed_at, windows.get((row.id, "secondary"))),
    )


def _since(moment: datetime | None, told: Told | None) -> Told | None:
    """A window, unless it was told at that moment or before."""
    return None if told is not None and moment is not None and told.at <= moment else told
