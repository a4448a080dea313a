"""The ledger writer: takes events at once, stores them in batches from a thread of its own.

While the ledger cannot be written, events wait in a bounded buffer; when that is full the newest are
dropped and counted. Writing resumes by itself.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from ledger.errors import LedgerError, StoreRefused

log = logging.getLogger("quotascope.writer")


class ItemRefused(Exception):
    """An item that cannot be stored, ever; the text names what is wrong with it."""


def is_of_an_item(error: Exception) -> bool:
    """Whether an error says something against an item, and not just that the store cannot be used now."""
    return isinstance(error, StoreRefused) or not isinstance(error, LedgerError)


def reason(error: Exception) -> str:
    """Why an item was refused, without anything of it: what databases say names values."""
    if isinstance(error, ItemRefused):
        return str(error)
    return error.code if isinstance(error, StoreRefused) else type(error).__name__


Item = TypeVar("Item")
Stored = TypeVar("Stored", contravariant=True)


class Store(Protocol[Stored]):
    """Writes one batch whole or not at all.

    Args:
        again: the batch, or a part of it, may have been written by an earlier try.
    Raises: LedgerError when the ledger cannot be written now.
    """

    def __call__(self, items: Sequence[Stored], *, again: bool) -> None: ...


MAX_BATCH = 2_000
"""Events of one transaction: short enough that readers and other writers are not held up."""


class LedgerWriter(Generic[Item]):
    """Stores what it is given: request events, quota samples.

    Args:
        store: writes a batch; an event that it cannot take at all is dropped and counted.
        interval: seconds that an event waits at most while the ledger can be written.
        max_waiting: events that may wait.
        look: called as often, in the same thread.
    """

    def __init__(
        self,
        store: Store[Item],
        *,
        interval: float,
        max_waiting: int,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._look = look
        self._store = store
        self._interval = interval
        self.max_waiting = max_waiting
        self._waiting: deque[Item] = deque()
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="ledger-writer", daemon=True)
        self._failing = False
        self._suspects = 0
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Events that are not stored yet."""
        return len(self._waiting)

    @property
    def healthy(self) -> bool:
        """Whether the last attempt to write succeeded."""
        return not self._failing

    def __call__(self, items: Sequence[Item]) -> None:
        room = max(0, self.max_waiting - len(self._waiting))
        self._waiting.extend(items[:room])
        self.dropped += len(items[room:])

    def refuse(self, why: str) -> None:
        """Count an item that cannot be stored, before it comes so far."""
        self.dropped += 1
        log.error("a finished request was refused: %s", why)

    def start(self) -> None:
        """Begin to store."""
        self._thread.start()

    def close(self, timeout: float = 10.0) -> None:
        """Store what waits and end the thread; what cannot be stored by then is counted as dropped."""
        self._stop.set()
        self._thread.join(timeout)
        if self._waiting:
            self.dropped += len(self._waiting)
            log.error(
                "%d finished requests could not be stored in the ledger and are lost", len(self._waiting)
            )

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            self.flush()
            self._look()
        self.flush()

    def flush(self) -> None:
        """Store what waits, in the caller's thread."""
        with self._writing:
            self._drain()

    def _drain(self) -> None:
        while self._waiting:
            most = 1 if self._suspects else MAX_BATCH
            batch = [self._waiting[i] for i in range(min(len(self._waiting), most))]
            try:
                self._store(batch, again=self._failing)
            except Exception as error:
                if not is_of_an_item(error):
                    if not self._failing:
                        log.error("the ledger cannot be written, requests wait in memory: %s", error)
                    self._failing = True
                    return
                why = reason(error)  # an item that no store takes must not hold up all others
                log.error("%d of what waits was refused: %s", len(batch), why)
                if len(batch) > 1:
                    self._suspects = len(batch)  # one of them: they are tried one by one
                    continue
                self.dropped += 1
            for _ in batch:
                self._waiting.popleft()
            self._suspects = max(0, self._suspects - 1)
            if self._failing:
                log.warning("the ledger can be written again; %d requests still wait", len(self._waiting))
            self._failing = False
