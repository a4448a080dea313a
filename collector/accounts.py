"""The accounts of collected gateways in the ledger: who they are, and whether they can be used there.

They have no credential, so no proxy routes to them; dashboards and pages show them as they show others.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from collector.decoding.record import account_id
from collector.transport.management import Credential
from ledger.requests import writes
from ledger.schema import accounts
from ledger.values import RequestEvent

ORIGIN = "collector"
_PASSING = ("rate_limited", "quota_exceeded")


@dataclass(frozen=True, slots=True)
class Known:
    email: str = ""
    alias: str | None = None
    plan: str = "unknown"
    disabled: bool | None = None
    unavailable: bool = False


class Directory:
    """Accounts by their ledger ids, as the gateways list them and as events mention them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listed: dict[str, Known] = {}
        self._stored: dict[str, Known] = {}

    def listed(self, gateway: str, credentials: Iterable[Credential]) -> None:
        with self._lock:
            for credential in credentials:
                self._listed[account_id(gateway, credential.auth_index)] = Known(
                    email=credential.email[:320],
                    alias=(credential.name or None) and credential.name[:200],
                    plan=credential.plan[:40] or "unknown",
                    disabled=credential.disabled,
                    unavailable=credential.unavailable,
                )

    def store(
        self, connection: Connection, events: Iterable[RequestEvent], now: datetime
    ) -> dict[str, Known]:
        """Make the ledger know what is new or has changed, in the caller's transaction.

        Returns: what was written; give it to `stored` once it is committed.
        """
        with self._lock:
            mentioned = {event.account_id: event for event in events}
            wanted = {
                account: self._listed.get(account) or _by_event(mentioned.get(account))
                for account in (*self._listed, *mentioned)
            }
            changed = {
                account: known for account, known in wanted.items() if self._stored.get(account) != known
            }
        for account, known in changed.items():
            _write(connection, account, known, now)
        return changed

    def stored(self, written: dict[str, Known]) -> None:
        """It is committed."""
        with self._lock:
            self._stored.update(written)

    def forget(self) -> None:
        """The ledger is another one: everything is new to it."""
        with self._lock:
            self._stored.clear()


def _by_event(event: RequestEvent | None) -> Known:
    """Of an account that no list shows: a key."""
    return Known(plan="api" if event is not None and event.login is False else "unknown")


def _write(connection: Connection, account: str, known: Known, now: datetime) -> None:
    columns: dict[str, Any] = {"email": known.email, "alias": known.alias, "plan_type": known.plan}
    writes.ensure_account(connection, id=account, created_at=now, origin=ORIGIN, **columns)
    table = accounts.c
    where = (table.id == account, table.origin == ORIGIN)
    status = connection.execute(select(table.status).where(*where)).scalar()
    if status is None:  # an account of that id that is not ours
        return
    if known.disabled:
        columns |= {"status": "paused"}
    elif known.disabled is False and (status == "paused" or (status in _PASSING and not known.unavailable)):
        columns |= {"status": "active", "reset_at": None, "blocked_at": None}
    connection.execute(update(accounts).where(*where).values(**columns))
