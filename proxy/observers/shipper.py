"""Ships what an outbox holds to the ledger. All proxies of a machine share the file; one at a time ships,
whichever holds the lock."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from time import monotonic

import msgspec

from ledger.errors import LedgerError
from ledger.outbox import Outbox, SetAside, Stored, waiting
from proxy.observers import messages
from proxy.observers.ledger_writer import is_of_an_item, reason

log = logging.getLogger("quotascope.outbox")

IDLE_SECONDS = 0.2
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0
END_SECONDS = 4.0
"""How long it goes on shipping once the proxy has ended."""

Body = Callable[[bytes], None]
"""Stores what a message holds, leaving out what is stored. Raises: LedgerError where it cannot now;
StoreRefused or anything else for what it never takes."""


class Shipper(threading.Thread):
    """Ships what an outbox holds, oldest first, until it is told to end.

    Args:
        stores: by kind, what stores an encoded list of items.

    Attributes:
        ships: it is this process that ships, and so knows how many wait.
        waiting: items of the whole outbox.
        refused: items that are set aside, for no store takes them.
    """

    def __init__(self, outbox: Outbox, stores: dict[str, Body]) -> None:
        super().__init__(name="shipper", daemon=True)
        self._outbox = outbox
        self._stores = stores
        self._ending = threading.Event()
        self._woken = threading.Event()
        self.ships = False
        self.waiting = 0
        self.refused = 0

    def wake(self) -> None:
        """There is something new."""
        self._woken.set()

    def end(self) -> None:
        """Ship what is left, for a moment, and end."""
        self._ending.set()
        self._woken.set()
        self.join(END_SECONDS + 1)

    def run(self) -> None:
        descriptor = self._lock_file()
        if descriptor is None:
            return
        try:
            if self._locked(descriptor):
                self._ship_until_ended()
        finally:
            os.close(descriptor)

    def _lock_file(self) -> int | None:
        """Open, as soon as it can be; None where it could not be until the end."""
        while True:
            try:
                return os.open(f"{self._outbox.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                log.error("the outbox %s cannot be used now: %s", self._outbox.path, error.strerror)
            if self._ending.wait(LONGEST_PAUSE):
                return None

    def _ship_until_ended(self) -> None:
        """An outbox that cannot be used now, as the disk is full or its lock is held, is tried again: what is
        shipped a second time is left out by the store."""
        is_new = True
        while True:
            try:
                with closing(self._outbox.connect()) as connection:
                    if is_new:
                        self._outbox.try_again(connection)  # this may be a version that stores it
                    is_new, self.ships = False, True
                    self._ship_all(connection)
                return
            except sqlite3.Error as error:
                log.error("the outbox %s cannot be used now: %s", self._outbox.path, error)
            if self._ending.wait(LONGEST_PAUSE):
                return

    def _locked(self, descriptor: int) -> bool:
        """Whether this process ships now; where another one does, its turn comes when that one ends."""
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except OSError:
                if self._ending.wait(1.0):
                    return False

    def _ship_all(self, connection: sqlite3.Connection) -> None:
        pause, deadline = FIRST_PAUSE, float("inf")
        while True:
            self._woken.clear()
            if self._ending.is_set():
                deadline = min(deadline, monotonic() + END_SECONDS)
            self.waiting = waiting(connection)
            batches = self._outbox.oldest(connection)
            if not batches and self._ending.is_set():
                return
            if not batches:
                self._woken.wait(IDLE_SECONDS)
                continue
            try:
                refused = self._ship(batches)
            except LedgerError as error:
                if pause == FIRST_PAUSE:
                    log.error("requests wait in the outbox: %s", error)
                if self._ending.is_set() or self._ending.wait(pause):
                    return
                pause = min(LONGEST_PAUSE, 2 * pause)
                continue
            if pause > FIRST_PAUSE:
                log.warning("the ledger can be written again; %d requests wait in the outbox", self.waiting)
            pause = FIRST_PAUSE
            self._outbox.remove(connection, batches, refused)
            self._count(refused)
            if monotonic() > deadline:
                return

    def _count(self, refused: Sequence[SetAside]) -> None:
        self.refused += sum(one.items for one in refused)
        if refused:
            why = ", ".join(sorted({one.reason for one in refused}))
            log.error("the ledger refuses %d of what waits in the outbox; set aside: %s", len(refused), why)

    def _ship(self, batches: Sequence[Stored]) -> list[SetAside]:
        """Store batches in one transaction. Returns: what no store takes, and what is damaged."""
        kind, bodies, refused = batches[0].kind, [], []
        for one in batches:
            try:
                bodies.append(zlib.decompress(one.body))
            except zlib.error:
                refused.append(SetAside(kind, one.items, one.body, "damaged"))
        if not bodies:
            return refused
        try:
            return refused + self._refused(kind, messages.together(bodies))
        except msgspec.DecodeError:  # one of them is no list
            if len(batches) == 1:
                return [SetAside(kind, one.items, one.body, "damaged")]
        return [aside for one in batches for aside in self._ship([one])]

    def _refused(self, kind: str, body: bytes) -> list[SetAside]:
        """Store what a message holds. Returns: what no store takes, found by halves."""
        try:
            self._stores[kind](body)
            return []
        except Exception as error:
            if not is_of_an_item(error):
                raise
            why = reason(error)
        items = messages.apart(body)
        if len(items) == 1:
            return [SetAside(kind, 1, zlib.compress(body, 1), why)]
        half = len(items) // 2
        halves = (messages.packed(items[:half]), messages.packed(items[half:]))
        return [one for some in halves for one in self._refused(kind, some)]
