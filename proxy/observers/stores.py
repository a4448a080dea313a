"""Where the ledger writer's batches go: into the ledger, by whoever has it open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from time import monotonic

from sqlalchemy import Connection

from ledger.requests import failure_bodies, writes
from ledger.values import RequestEvent, UsageSample
from proxy.metering.once import is_once

PRUNE_SECONDS = 600.0

Writing = Callable[[], AbstractContextManager[Connection]]
"""A transaction of the ledger. Raises: StoreError."""


class EventStore:
    """Stores batches of request events.

    Args:
        keep_bodies: how long what is kept of failures stays.
    """

    def __init__(self, writing: Writing, keep_bodies: timedelta) -> None:
        self._writing = writing
        self._keep_bodies = keep_bodies
        self._pruned_at = float("-inf")

    def __call__(self, items: Sequence[RequestEvent], *, again: bool) -> None:
        with self._writing() as connection:
            writes.record(connection, items, again=again or any(map(is_once, items)))
            if monotonic() - self._pruned_at > PRUNE_SECONDS:  # also once nothing is kept any more
                failure_bodies.prune(connection, datetime.now(UTC) - self._keep_bodies)
                self._pruned_at = monotonic()


class SampleStore:
    """Stores batches of quota samples; writing one again finds it there."""

    def __init__(self, writing: Writing) -> None:
        self._writing = writing

    def __call__(self, items: Sequence[UsageSample], *, again: bool) -> None:
        with self._writing() as connection:
            writes.record_samples(connection, items)
