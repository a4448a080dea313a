"""From the inbox to the ledger: a thread that decodes what waits and stores it, each event once.

An event's id follows from its item. So a batch that was stored, and whose settling was lost with the
process, is found in the ledger when it is decoded again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from collector import sums
from collector.accounts import Directory
from collector.counting import EventCounter, Increments
from collector.decoding.fields import Undecodable
from collector.decoding.record import document_of, event_id, request_event
from collector.decoding.trouble import Trouble, trouble_of
from collector.errors import InboxError
from collector.gaps import Gap
from collector.inbox import Inbox, Item, settle
from collector.state import told, untold_gaps
from ledger.accounts import marks
from ledger.errors import LedgerError, StoreRefused
from ledger.gateways import failures, gaps, states
from ledger.gateways.values import GatewayGap, GatewayState
from ledger.pricing.table import CurrentPrices
from ledger.requests import collected, failure_bodies, writes
from ledger.values import RequestEvent
from ledger.writing import OpenLedger
from metrics.collector import UNDECODABLE

log = logging.getLogger("quotascope.collector")

MAX_BATCH = 1_000
IDLE_SECONDS = 0.5
GATHER_SECONDS = 0.4
"""How long items of a thin flow wait for others: a transaction costs more than an event."""

RETRY_SECONDS = 1.0
TOLD_SECONDS = 5.0
"""How often the ledger is told how it stands with the gateways."""

PRUNE_SECONDS = 60.0
KEEP_FAILURES = timedelta(days=30)


@dataclass(slots=True)
class Batch:
    items: Sequence[Item]
    events: list[RequestEvent] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)

    @property
    def decoded(self) -> list[int]:
        """Numbers of the items that were."""
        return [item.seq for item in self.items if item.seq not in self.problems]


def decode(items: Sequence[Item], instance: str | None, *, keeps_failures: bool = False) -> Batch:
    """What items say. Pure; whatever is wrong with one costs that one alone."""
    batch = Batch(items)
    for item in items:
        identity = event_id(item.gateway, item.raw, item.twin)
        try:
            document = document_of(item.raw)
            if item.channel == "usage":
                event = request_event(
                    document, identity, item.gateway, instance, keeps_failures=keeps_failures
                )
                batch.events.append(event)
            elif trouble := trouble_of(document, identity, item.gateway):
                batch.troubles.append(trouble)
        except Undecodable as error:
            batch.problems[item.seq] = str(error)
        except Exception as error:  # a shape nobody thought of: it must not hold up the others
            batch.problems[item.seq] = f"{type(error).__name__} while decoding"
    return batch


class Decoder:
    """The thread.

    Args:
        open_ledger: opens the ledger, which may not be there yet.
        instance: our name in the ledger.
        say: how it stands with the gateways now.
        keep_seconds: how long decoded items are kept.
        failure_days: how long what providers answered to failed requests is kept; None keeps none.
    """

    def __init__(
        self,
        inbox: Inbox,
        open_ledger: Callable[[], OpenLedger],
        counter: EventCounter,
        prices: CurrentPrices,
        directory: Directory,
        *,
        instance: str,
        say: Callable[[], Sequence[GatewayState]],
        keep_seconds: float,
        failure_days: float | None = None,
    ) -> None:
        self._inbox = inbox
        self._open = open_ledger
        self._ledger: OpenLedger | None = None
        self._counter = counter
        self._prices = prices
        self._directory = directory
        self._instance = instance
        self._say = say
        self._keep = keep_seconds
        self._failure_days = failure_days
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decoder", daemon=True)
        self._told_at = self._pruned_at = 0.0
        self.problem: str | None = None

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def close(self, seconds: float = 10.0) -> None:
        """Store what waits, for so long, and end. What does not get there stays in the inbox."""
        self._ending.set()
        self._wake.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        pause = 0.0
        while not self._ending.is_set():
            if self._wake.wait(pause) and pause:
                self._ending.wait(GATHER_SECONDS)
            self._wake.clear()
            pause = self._try()
            if pause == RETRY_SECONDS:
                self._ending.wait(pause)
        self._told_at = 0.0
        self._try()
        if self._ledger is not None:
            self._ledger.close()

    def _try(self) -> float:
        """One round; how long to wait for the next."""
        try:
            busy = self.step()
            self._tell()
            self._prune()
        except (LedgerError, InboxError) as error:
            if self.problem is None:
                log.error("events wait in the inbox: %s", error)
            self.problem = str(error)
            return RETRY_SECONDS
        if self.problem is not None:
            log.warning("events are stored in the ledger again")
            self.problem = None
        return 0.0 if busy else IDLE_SECONDS

    def step(self) -> bool:
        """Decode and store the oldest items; whether there are more. Raises: LedgerError, InboxError."""
        items = self._inbox.pending(MAX_BATCH)
        if items:
            self._store(self._decoded(items))
        return len(items) == MAX_BATCH

    def _decoded(self, items: Sequence[Item]) -> Batch:
        return decode(items, self._instance, keeps_failures=self._failure_days is not None)

    def _store(self, batch: Batch) -> None:
        try:
            self._write(batch)
        except StoreRefused as error:
            if len(batch.items) > 1:  # one of them is none that the ledger takes: they are tried one by one
                for item in batch.items:
                    self._store(self._decoded([item]))
                return
            (item,) = batch.items
            self._settle(Batch(batch.items, problems={item.seq: f"the ledger refuses it: {error.code}"}))
            return
        self._settle(batch)

    def _write(self, batch: Batch) -> None:
        now = datetime.now(UTC)
        with self._writing() as connection:
            known = self._directory.store(connection, batch.events, now)
            self._record(connection, batch.events)
            if batch.troubles:
                failures.store(connection, [trouble.failure for trouble in batch.troubles])
                for trouble in batch.troubles:
                    self._mention(connection, trouble.failure.account_id, now)
                marks.record_marks(connection, [trouble.mark for trouble in batch.troubles], now)
        self._directory.stored(known)

    @staticmethod
    def _record(connection: Connection, events: Sequence[RequestEvent]) -> None:
        """Store those that are not there yet, neither by an earlier try nor by an import."""
        fresh = writes.missing(connection, events)
        imported = collected.adopted(connection, fresh)
        failure_bodies.store(connection, imported)
        twice = {event.id for event in imported}
        writes.record(connection, [event for event in fresh if event.id not in twice])

    @staticmethod
    def _mention(connection: Connection, account: str, now: datetime) -> None:
        writes.ensure_account(connection, id=account, created_at=now, origin="collector")

    def _settle(self, batch: Batch) -> None:
        increments: Increments = self._counter.count(batch.events, self._prices.book)
        for item in batch.items:
            if item.seq in batch.problems:
                key = (UNDECODABLE.name, (item.gateway,))
                increments[key] = increments.get(key, 0) + 1
        with self._inbox.transaction() as connection:
            settle(connection, batch.decoded, batch.problems.items())
            sums.add(connection, increments)

    def _tell(self) -> None:
        """Tell the ledger of gaps, and from time to time how it stands with the gateways."""
        with self._inbox.transaction() as connection:
            untold = untold_gaps(connection)
        now = time.monotonic()
        if not untold and self._told_at and now - self._told_at < TOLD_SECONDS:
            return
        with self._writing() as writing:
            gaps.store(writing, [self._gap(stored.id, stored.gap) for stored in untold])
            states.store(writing, self._say())
            marks.restore(writing, datetime.now(UTC))
            self._prices.follow(writing)
            self._directory.stored(self._directory.store(writing, (), datetime.now(UTC)))
        if untold:
            with self._inbox.transaction() as connection:
                told(connection, untold)
        self._told_at = now

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction in the ledger. Raises: LedgerError."""
        if self._ledger is None:
            self._ledger = self._open()
        with self._ledger.writing() as connection:
            yield connection

    def _gap(self, number: int, gap: Gap) -> GatewayGap:
        ended = None if gap.ended_at is None else datetime.fromtimestamp(gap.ended_at, UTC)
        began = datetime.fromtimestamp(gap.began_at, UTC)
        return GatewayGap(f"{self._inbox.identity}-{number}", gap.gateway, gap.reason, began, ended)

    def _prune(self) -> None:
        now = time.monotonic()
        if self._pruned_at and now - self._pruned_at < PRUNE_SECONDS:
            return
        if self._inbox.prune(time.time() - self._keep) == 0:
            self._pruned_at = now
            with self._writing() as connection:
                failures.prune(connection, datetime.now(UTC) - KEEP_FAILURES)
                if self._failure_days is not None:
                    failure_bodies.prune(connection, datetime.now(UTC) - timedelta(days=self._failure_days))
