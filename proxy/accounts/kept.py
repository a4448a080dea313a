"""What the proxies of a machine keep in a file of their own, as their ledger is a server that may be away:
accounts as they were known last, and what was spent and could not be charged yet."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import msgspec

from ledger.accounts.allowances import Charge
from ledger.accounts.configured import Description, placed
from ledger.accounts.pool import Fleet, Member
from ledger.errors import StoreUnavailable
from ledger.outbox import connected, transaction
from ledger.store import create_private

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS accounts (one INTEGER PRIMARY KEY, body BLOB)",
    "CREATE TABLE IF NOT EXISTS charges"
    " (key TEXT, day TEXT, nano INTEGER, estimated INTEGER, requests INTEGER)",
)
_OWED = "SELECT key, day, sum(nano), sum(estimated), sum(requests) FROM charges GROUP BY 1, 2 ORDER BY 1, 2"

_encode = msgspec.msgpack.Encoder().encode
_fleet = msgspec.msgpack.Decoder(Fleet)

Charges = Mapping[str, Mapping[str, Charge]]
"""By key and UTC day."""

UNREAD = -1
"""The version of accounts that are not the ledger's: whatever that has is read once it is there."""


class Kept:
    """The file. Its methods may be called in any thread. Raises: StoreUnavailable where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep_accounts(self, fleet: Fleet) -> None:
        """Remember the accounts; credentials are references, no secret is among them. Where that cannot be
        now, the next change is remembered."""
        with suppress(StoreUnavailable), self._connected() as connection:
            connection.execute("INSERT OR REPLACE INTO accounts VALUES (1, ?)", (_encode(fleet),))

    def accounts(self, described: Iterable[Description], now: datetime) -> Fleet:
        """The accounts as far as they are known without the ledger: those of the configuration, and those
        that were added by command. Raises: AccountError."""
        with self._connected() as connection:
            row = connection.execute("SELECT body FROM accounts").fetchone()
        before = {one.account.id: one for one in _members(row)}
        found = {name: one for name, one in before.items() if one.origin != "config"}
        for account in map(placed, described):
            known = before.get(account.id)
            if known is None or known.account.credential != account.credential:
                known = Member(account, "active", "config", renewed_at=now, resumed_at=now)
            found[account.id] = replace(known, account=account)
        return Fleet(UNREAD, tuple(found[name] for name in sorted(found)))

    def owe(self, charges: Charges) -> None:
        """Remember what could not be charged."""
        rows = [
            (key, day, one.nano, one.estimated, one.requests)
            for key, days in charges.items()
            for day, one in days.items()
        ]
        with self._connected() as connection, transaction(connection):
            connection.executemany("INSERT INTO charges VALUES (?, ?, ?, ?, ?)", rows)

    @contextmanager
    def owed(self) -> Iterator[Charges]:
        """What is to be charged, by whichever process; forgotten when the block ends well. A crash in between
        charges it twice: rather that than never."""
        with self._connected() as connection:
            if connection.execute("SELECT 1 FROM charges LIMIT 1").fetchone() is None:
                yield {}
                return
            with transaction(connection):
                found: dict[str, dict[str, Charge]] = {}
                for key, day, *numbers in connection.execute(_OWED):
                    found.setdefault(key, {})[day] = Charge(*numbers)
                yield found
                connection.execute("DELETE FROM charges")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            create_private(self.path)
            with closing(connected(self.path)) as connection:
                for statement in _SCHEMA:
                    connection.execute(statement)
                yield connection
        except sqlite3.Error as error:
            raise StoreUnavailable(f"cannot use {self.path}: {error}") from error


def _members(row: tuple[bytes] | None) -> tuple[Member, ...]:
    try:
        return _fleet.decode(row[0]).members if row else ()
    except msgspec.MsgspecError:  # another version wrote it
        return ()
