"""The writer process as the proxy sees it: started, asked to store batches, started again where it ended.

Making rows, adding to sums and waiting for a database take interpreter time that no request shall wait for.
Events leave the proxy as bytes; a batch counts as stored once the writer process has answered.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic

from ledger.errors import LedgerError, StoreUnavailable
from ledger.values import RequestEvent, UsageSample
from ledger.writing import OpenLedger
from proxy.observers import messages
from proxy.observers.ledger_writer import ItemRefused, LedgerWriter
from proxy.observers.messages import Batch, Kind, Task

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
STEADY_SECONDS = 30.0
"""A writer that ran for so long did not end because it cannot start."""

END_SECONDS = 8.0
"""How long it may take to finish what it is doing once it is told to end."""


class Encoded:
    """Hands items on as bytes; one that cannot be written so is lost, and counted.

    Args:
        writer: takes them.
    """

    def __init__(self, writer: LedgerWriter[bytes]) -> None:
        self._writer = writer

    def __call__(self, items: Sequence[RequestEvent] | Sequence[UsageSample]) -> None:
        done: list[bytes] = []
        for item in items:
            try:
                done.append(messages.encoded(item))
            except (ValueError, OverflowError, TypeError) as error:
                self._writer.refuse(type(error).__name__)
        self._writer(done)


class WriterProcess:
    """Starts the process, with the first batch at the latest, and again with the next one where it ended.

    Args:
        ledger: it makes a store ready that is new or was replaced: only then it is written to.
        task: what the process is for.

    Attributes:
        outbox: items that wait in the outbox, its bytes, items set aside; as far as this process ships it.
    """

    def __init__(self, ledger: OpenLedger, task: Task) -> None:
        self._ledger = ledger
        self._has_outbox = task.outbox is not None
        self._task = messages.encode(task)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._began = self._starts_at = float("-inf")
        self._pause = FIRST_PAUSE
        self._closed = False
        self.outbox = messages.NOTHING

    def store(self, kind: Kind) -> Callable[..., None]:
        """Stores encoded items, for a `LedgerWriter`."""

        def store(items: Sequence[bytes], *, again: bool) -> None:
            self._store(kind, items, again)

        return store

    def start(self) -> None:
        """Start it before there is anything to store: what ends in its first second would wait for it."""
        with self._lock, suppress(OSError):
            self._line = self._line or self._start()

    def look(self) -> None:
        """Learn how it stands with the outbox."""
        if self._has_outbox:
            with suppress(LedgerError):
                self._store("events", (), again=False)

    def close(self) -> None:
        """End the process; what it was given is stored, unless that takes too long."""
        self._closed = True
        in_time = self._lock.acquire(timeout=END_SECONDS)
        if not in_time and self._process is not None:
            self._process.kill()  # whoever waits for its answer gets none
            self._lock.acquire()
        self._end()
        self._lock.release()

    def _store(self, kind: Kind, items: Sequence[bytes], again: bool) -> None:
        head = Batch(kind, len(items), again, self._identity())
        with self._lock:
            try:
                line = self._line or self._start()
                messages.send(line, messages.encode(head), messages.packed(items))
                outcome = messages.read_outcome(messages.receive(line))
            except (OSError, EOFError) as error:
                raise StoreUnavailable(self._ended(error)) from error
        self.outbox = outcome.outbox
        if outcome.unavailable is not None:
            raise StoreUnavailable(outcome.unavailable)
        if outcome.refused is not None:
            raise ItemRefused(outcome.refused)

    def _identity(self) -> tuple[int, int] | None:
        """The ledger's file; with an outbox there is none, and nobody waits for the ledger."""
        return None if self._has_outbox else self._ledger.ready()

    def _start(self) -> socket.socket:
        if self._closed or monotonic() < self._starts_at:
            raise StoreUnavailable("the writer process is started again soon")
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own program
                    [sys.executable, "-m", "proxy.writer", str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    process_group=0,  # Ctrl-C is for the proxy, which then lets it end
                )
        except OSError:
            ours.close()
            raise
        self._began, self._line = monotonic(), ours
        with suppress(OSError):  # that it ended at once is noticed by whoever waits for its answer
            messages.send(ours, self._task)
        return ours

    def _ended(self, error: Exception) -> str:
        """Clear away a process that does not answer any more, or could not be started; what is to be said."""
        steady = monotonic() - self._began > STEADY_SECONDS
        self._pause = FIRST_PAUSE if steady else min(LONGEST_PAUSE, 2 * self._pause)
        self._starts_at = monotonic() + self._pause
        code = self._end()
        if code is None:
            why = getattr(error, "strerror", None) or type(error).__name__
            return f"the writer process cannot be started: {why}; it is tried again"
        return f"the writer process ended with {code}; it is started again, and given the requests again"

    def _end(self) -> int | None:
        line, process = self._line, self._process
        self._line = self._process = None
        if line is not None:
            line.close()
        if process is None:
            return None
        try:
            return process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
