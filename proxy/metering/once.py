"""What a provider tells again and again is counted once: background responses, and answers in the output of
batches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256

from msgspec.structs import replace

from ledger.values import NO_USAGE, RequestEvent

Emit = Callable[[RequestEvent], None]

MAX_IDS = 100_000
"""Ids that are remembered; the ledger, where each has its own row, remembers for longer."""

_PREFIX = "once-"


def once_id(kind: str, provider_id: str) -> str:
    """The id of an event that must not be there twice, whichever process makes it: the ledger refuses a
    second one."""
    return _PREFIX + sha256(f"{kind}\0{provider_id}".encode("utf-8", "replace")).hexdigest()[:32]


def is_once(event: RequestEvent) -> bool:
    """Whether another process, or this one before it was started again, may have stored the event."""
    return event.id.startswith(_PREFIX)


class CountedOnce:
    """Passes events on. A stored response that is read again loses its counts, but for the first time that
    they are seen at all: the answer to a background request, or to one that was cut, is only read later.

    Args:
        emit: takes each event.
    """

    def __init__(self, emit: Emit, most: int = MAX_IDS) -> None:
        self._emit = emit
        self._most = most
        self._counted: OrderedDict[str, bool] = OrderedDict()  # False: begun here, its counts not seen yet

    def __call__(self, event: RequestEvent) -> None:
        if event.batched:
            if self._keep(event.id, counted=True) is not True:
                self._emit(event)
        elif event.response_id is None:
            self._emit(event)
        elif event.billable:
            self._generated(event, event.response_id)
        else:
            self._read(event, event.response_id)

    def _generated(self, event: RequestEvent, name: str) -> None:
        metered = event.usage is not NO_USAGE
        before = self._keep(name, counted=metered)
        if event.background and metered:
            event = replace(event, id=once_id("response", name))
        if before is not True:
            self._emit(event)
        else:
            self._emit(_again(event) if event.background else event)

    def _read(self, event: RequestEvent, name: str) -> None:
        if event.usage is NO_USAGE:
            self._emit(event)
            return
        known = self._counted.get(name)
        if known or (known is None and not event.background):
            self._emit(_again(event))
            return
        self._keep(name, counted=True)
        self._emit(replace(event, id=once_id("response", name), billable=True))

    def _keep(self, name: str, *, counted: bool) -> bool | None:
        """Remember an id; what was known of it."""
        before = self._counted.get(name)
        self._counted[name] = counted or bool(before)
        self._counted.move_to_end(name)
        if len(self._counted) > self._most:
            self._counted.popitem(last=False)
        return before


def _again(event: RequestEvent) -> RequestEvent:
    """A read of what was counted before."""
    return replace(event, usage=NO_USAGE, extra_units=None, provider_cost_usd=None, billable=False)
