"""`python -m proxy.writer FD`: the process that writes to the ledger what its proxy sends over a socket.

It ends when the proxy does: the socket is closed then. A batch that has come whole is stored first.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, make_url

from ledger import process_log, state
from ledger.errors import LedgerError, StoreUnavailable
from ledger.outbox import Outbox
from ledger.store import translated
from ledger.upkeep.retention import Keep, Upkeep
from ledger.writing import NO_FILE, OpenLedger, file_identity
from proxy.observers import messages
from proxy.observers.ledger_writer import is_of_an_item, reason
from proxy.observers.messages import NOTHING, Batch, Outcome, Task
from proxy.observers.shipper import Shipper
from proxy.observers.stores import EventStore, SampleStore
from settings.lifetime import set_limits

NICE = 5
"""Where the machine is busy, requests go first; the events of a batch can wait, and still get a quarter of a
core that somebody else would take whole."""


class Store(Protocol):
    """Stores an encoded list of items."""

    def __call__(self, body: bytes, *, again: bool) -> None: ...


class Ledger:
    """The ledger that a batch is for: never another one, which the proxy has to make ready first."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._open: OpenLedger | None = None
        self._wanted: tuple[int, int] | None = None

    def expect(self, identity: tuple[int, int] | None) -> None:
        """The file that the next transaction is for."""
        self._wanted = identity

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction. Raises: StoreError."""
        if self._open is None:
            self._open = OpenLedger(self._url, self._check)
        with self._open.writing() as connection:
            yield connection

    def close(self) -> None:
        """Close all connections."""
        if self._open is not None:
            self._open.close()

    def _check(self, engine: Engine) -> None:
        if file_identity(self._url) != self._wanted:
            raise StoreUnavailable("the ledger's file was replaced a moment ago")
        if self._wanted == NO_FILE:  # the proxy brings it to this version once it can be reached
            with translated(self._url, "cannot write"), engine.connect() as connection:
                state.check(connection, self._url)


class Writer:
    """Stores batches, one after the other: in the ledger, or in the outbox that is shipped beside."""

    def __init__(self, task: Task) -> None:
        self._ledger = Ledger(task.url)
        events = EventStore(self._ledger.writing, timedelta(days=task.failure_body_days))
        samples = SampleStore(self._ledger.writing)
        self._stores: dict[str, Store] = {
            "events": lambda body, *, again: events(messages.read_events(body), again=again),
            "samples": lambda body, *, again: samples(messages.read_samples(body), again=again),
        }
        self._outbox: Outbox | None = None
        self._shipper: Shipper | None = None
        self._file: sqlite3.Connection | None = None
        if task.outbox is not None:
            self._open(Path(task.outbox), task.outbox_max_bytes)
        self._upkeep = Upkeep(make_url(task.url), Keep(task.keep_requests, task.keep_hourly))
        self._upkeep.start()

    def __call__(self, batch: Batch, body: bytes) -> Outcome:
        """Store a batch."""
        try:
            if batch.items:
                self._store(batch, body)
        except Exception as error:
            if is_of_an_item(error):  # the proxy finds out of which one
                return self._outcome(refused=reason(error))
            return self._outcome(unavailable=str(error))
        return self._outcome()

    def close(self) -> None:
        """Ship what can be shipped at once; close everything."""
        self._upkeep.close()
        if self._shipper is not None:
            self._shipper.end()
        if self._file is not None:
            self._file.close()
        self._ledger.close()

    def _open(self, path: Path, max_bytes: int) -> None:
        self._outbox = Outbox(path, max_bytes)
        self._file = self._outbox.connect()
        # What an earlier process shipped may be there, without its knowing: so nothing is taken for new.
        self._ledger.expect(NO_FILE)
        self._shipper = Shipper(
            self._outbox, {kind: partial(s, again=True) for kind, s in self._stores.items()}
        )
        self._shipper.start()

    def _store(self, batch: Batch, body: bytes) -> None:
        if self._outbox is None or self._shipper is None or self._file is None:
            self._ledger.expect(batch.identity)
            self._stores[batch.kind](body, again=batch.again)
            return
        self._outbox.append(self._file, batch.kind, batch.items, body)
        self._shipper.wake()

    def _outcome(self, unavailable: str | None = None, refused: str | None = None) -> Outcome:
        if self._outbox is None or self._shipper is None:
            return Outcome(unavailable, refused)
        ships = self._shipper.ships
        found = (self._shipper.waiting, self._outbox.taken(), self._shipper.refused) if ships else NOTHING
        return Outcome(unavailable, refused, found)


def serve(line: socket.socket) -> None:
    """Store what comes until the proxy closes the line."""
    try:
        task = messages.read_task(messages.receive(line))
    except (OSError, EOFError):
        return
    writer = Writer(task)
    try:
        while True:
            head, body = messages.read_head(messages.receive(line)), messages.receive(line)
            messages.send(line, messages.encode(writer(head, body)))
    except (OSError, EOFError):  # the proxy is gone, in order or not
        return
    finally:
        writer.close()


def main() -> int:
    """Returns: the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the proxy closes the line once all is stored
    with suppress(OSError):
        os.nice(NICE)
    process_log.set_up()
    set_limits()
    with socket.socket(fileno=int(sys.argv[1])) as line:
        try:
            serve(line)
        except LedgerError as error:
            print(f"proxy: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
