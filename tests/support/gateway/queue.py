"""What a gateway keeps of its events, and to whom it hands them: in memory, for a minute, once."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

BUFFER = 256
"""Messages that wait for a subscriber before it is cut off."""

SUPPORT_REFRESH = b'{"support_refresh":true}'
REFRESH = b'{"refresh":true}'


@dataclass(eq=False, slots=True)
class Subscriber:
    """One subscription. A closed one still has what was put into it before."""

    messages: deque[bytes] = field(default_factory=deque)
    closed: bool = False
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, message: bytes) -> bool:
        """Whether there was room."""
        if len(self.messages) >= BUFFER:
            return False
        self.messages.append(message)
        self.arrived.set()
        return True

    def close(self) -> None:
        """Nothing more comes."""
        self.closed = True
        self.arrived.set()


class Queue:
    """The usage queue, and the errors channel beside it.

    Attributes:
        subscribers: while there is one, nothing is queued.
        lost: messages of which a subscriber was cut off.
    """

    def __init__(self, retention: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.retention = retention
        self._clock = clock
        self._items: deque[tuple[float, bytes]] = deque()
        self.subscribers: set[Subscriber] = set()
        self.error_subscribers: set[Subscriber] = set()
        self.lost = 0

    def __len__(self) -> int:
        self._prune()
        return len(self._items)

    def publish(self, message: bytes) -> None:
        """An event: to all subscribers, or into the queue where there is none."""
        if self.subscribers:
            self._send(self.subscribers, message)
        else:
            self._prune()
            self._items.append((self._clock(), message))

    def publish_error(self, message: bytes) -> None:
        """An event of the errors channel; nobody keeps it."""
        self._send(self.error_subscribers, message)

    def refresh(self) -> None:
        """The gateway's settings or accounts have changed."""
        self._send(self.subscribers, REFRESH)

    def pop(self, count: int) -> list[bytes]:
        """The oldest, which are forgotten at once."""
        self._prune()
        return [self._items.popleft()[1] for _ in range(min(count, len(self._items)))]

    def subscribe(self, channel: str) -> Subscriber:
        """A new subscription; usage begins with a control message."""
        subscriber = Subscriber()
        if channel == "usage":
            subscriber.put(SUPPORT_REFRESH)
            self.subscribers.add(subscriber)
        else:
            self.error_subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """What is in it is lost."""
        self.subscribers.discard(subscriber)
        self.error_subscribers.discard(subscriber)
        subscriber.close()

    def _send(self, subscribers: set[Subscriber], message: bytes) -> None:
        for subscriber in list(subscribers):
            if not subscriber.put(message):
                subscribers.discard(subscriber)
                subscriber.close()
                self.lost += 1

    def _prune(self) -> None:
        before = self._clock() - self.retention
        while self._items and self._items[0][0] < before:
            self._items.popleft()
