"""How long a provider lets a connection lie idle, learnt from those that it has ended.

A request that meets with the end of its connection may or may not have been processed, and a POST must not be
sent again then. So a connection is not used any more at about the age at which the provider ends its like.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

SHARE = 0.5
"""Of the age at which a connection was ended, up to which others are used."""

BELIEVED_SECONDS = 60.0
"""How long one end is believed: a provider that was just restarted ends all of any age."""


class IdleLife:
    """What was seen of one provider.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._most = 0.0
        self._until = 0.0

    def ended(self, idle: float) -> None:
        """The provider ended a connection that had been idle for so many seconds, without a word before."""
        now = self._clock()
        if now >= self._until or idle * SHARE <= self._most:
            self._most, self._until = idle * SHARE, now + BELIEVED_SECONDS

    def allows(self, idle: float) -> bool:
        """Whether a connection that has been idle for so long may be used."""
        return idle < self._most or self._clock() >= self._until
