"""Times in which events may have been lost, and since when nothing can have been. Pure.

A gateway forgets what it hands out. So the collector keeps, for each gateway, the moment up to which all
that was handed out is in the inbox (`sound_at`). Whenever the thread breaks, a gap begins there; it ends
where events come without a break again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Reason = Literal[
    "crash",
    "restart",
    "retention",
    "overflow",
    "disconnected",
    "answer_lost",
    "second_consumer",
    "stop",
]
REASONS: tuple[Reason, ...] = (
    "crash",
    "restart",
    "retention",
    "overflow",
    "disconnected",
    "answer_lost",
    "second_consumer",
    "stop",
)
"""crash: the collector died between receipt and commit. restart: the gateway forgot its queue. retention:
the collector was away for longer than the queue keeps. overflow: the gateway cut off a subscriber that was
too slow. disconnected: a subscription broke. answer_lost: popped events never arrived. second_consumer:
somebody else pops the queue. stop: a subscription was ended in order; what was on its way then is lost."""

MARGIN_SECONDS = 0.25
"""By how much an event may be handed out before its own end says so, or after one that ended later."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which events may have been lost; epoch seconds. `ended_at` None: it goes on."""

    gateway: str
    reason: Reason
    began_at: float
    ended_at: float | None = None

    def seconds(self, now: float) -> float:
        return max(0.0, (now if self.ended_at is None else self.ended_at) - self.began_at)


@dataclass(frozen=True, slots=True)
class Thread:
    """How events hang together for one gateway.

    Attributes:
        sound_at: everything that was handed out before is in the inbox; None before the first contact.
        stopped_at: when collecting ended in order with the queue left to itself; None while it goes on,
            or where it ended without a word.
        gap: the one that goes on.
        draining: the queue is being emptied, and a subscription may run beside it.
        blurred: that was broken off. The queue may then hold events that are older than lost ones.
    """

    gateway: str
    sound_at: float | None = None
    stopped_at: float | None = None
    gap: Gap | None = None
    draining: bool = False
    blurred: bool = False

    def sound(self, moment: float) -> Thread:
        """Everything before that moment is in the inbox; no effect while a gap goes on."""
        if self.gap is not None or moment <= (self.sound_at or 0.0):
            return self
        return replace(self, sound_at=moment, stopped_at=None)

    def broken(self, reason: Reason, now: float) -> Thread:
        """The thread broke: a gap begins at what was sound last. One that goes on stays the same gap."""
        if self.gap is not None or self.sound_at is None:
            return self
        return replace(self, gap=Gap(self.gateway, reason, min(self.sound_at, now)), stopped_at=None)

    def because(self, reason: Reason) -> Thread:
        """What is known now of why the thread broke."""
        return self if self.gap is None else replace(self, gap=replace(self.gap, reason=reason))

    def stopped(self, moment: float) -> Thread:
        """Collecting ended in order, and all that was handed out before that moment is in the inbox; the rest
        is still in the queue."""
        return self if self.gap is not None else replace(self, sound_at=moment, stopped_at=moment)

    def begun(self, now: float, *, restarted: bool, retention: float) -> Thread:
        """Collecting begins, of a queue that nobody was subscribed to since `stopped_at`.

        Args:
            restarted: the gateway was restarted since.
            retention: seconds that its queue keeps an event.
        """
        thread = replace(self, draining=True, blurred=self.blurred or self.draining)
        if thread.gap is not None:
            return thread
        if self.sound_at is None:  # for the first time: all that the queue still keeps was handed to nobody
            return replace(thread, sound_at=now - retention)
        if self.stopped_at is None:
            return thread.broken("crash", now)
        if restarted:
            return thread.broken("restart", now)
        if now - self.stopped_at > retention:
            return thread.broken("retention", now)
        return replace(thread, stopped_at=None)

    def resumed(self, now: float, oldest: float | None, *, retention: float) -> tuple[Thread, Gap | None]:
        """Events come without a break again; all that was handed out before `now` is in the inbox.

        Args:
            oldest: when the first event that the queue still had ended: lost ones were before it.
            retention: seconds that the queue keeps an event.
        Returns: the thread, and the gap that has ended.
        """
        if self.gap is None:
            sound_at = max(now, self.sound_at or 0.0)
            return replace(self, sound_at=sound_at, stopped_at=None, draining=False, blurred=False), None
        end = now if oldest is None or self.blurred else min(now, oldest + MARGIN_SECONDS)
        if self.gap.reason == "retention":
            end = min(end, now - retention + MARGIN_SECONDS)
        gap = replace(self.gap, ended_at=max(end, self.gap.began_at))
        return Thread(self.gateway, sound_at=now), gap
