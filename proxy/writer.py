"""`python -m proxy.writer FD`: the process that writes to the ledger what its proxy sends over a socket.

It ends when the proxy does: the socket is closed then. A batch that has come whole is stored first.
"""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import Connection, Engine, make_url

from ledger import process_log
from ledger.errors import LedgerError, StoreUnavailable
from ledger.writing import OpenLedger, file_identity
from proxy.observers import messages
from proxy.observers.messages import Batch, Outcome, Task
from proxy.observers.stores import EventStore, SampleStore


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

    def _check(self, _: Engine) -> None:
        if file_identity(self._url) != self._wanted:
            raise StoreUnavailable("the ledger's file was replaced a moment ago")


class Writer:
    """Stores batches, one after the other."""

    def __init__(self, task: Task) -> None:
        self.ledger = Ledger(task.url)
        keep = timedelta(days=task.failure_body_days)
        events, samples = EventStore(self.ledger.writing, keep), SampleStore(self.ledger.writing)
        self._stores: dict[str, Callable[[bytes, bool], None]] = {
            "events": lambda body, again: events(messages.read_events(body), again=again),
            "samples": lambda body, again: samples(messages.read_samples(body), again=again),
        }

    def __call__(self, batch: Batch, body: bytes) -> Outcome:
        """Store a batch."""
        self.ledger.expect(batch.identity)
        try:
            self._stores[batch.kind](body, batch.again)
        except LedgerError as error:
            return Outcome(unavailable=str(error))
        except Exception as error:  # an item that no store takes: the proxy finds out which one
            return Outcome(refused=type(error).__name__)
        return Outcome()


def serve(line: socket.socket) -> None:
    """Store what comes until the proxy closes the line."""
    try:
        writer = Writer(messages.read_task(messages.receive(line)))
    except (OSError, EOFError):
        return
    try:
        while True:
            head, body = messages.read_head(messages.receive(line)), messages.receive(line)
            messages.send(line, messages.encode(writer(head, body)))
    except (OSError, EOFError):  # the proxy is gone, in order or not
        return
    finally:
        writer.ledger.close()


def main() -> int:
    """Returns: the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the proxy closes the line once all is stored
    process_log.set_up()
    with socket.socket(fileno=int(sys.argv[1])) as line:
        serve(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
