"""Who may manage a simulated gateway: its key, and the ban after five wrong ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

MAX_FAILURES = 5
BAN_SECONDS = 1_800.0


@dataclass(slots=True)
class Access:
    """Of one address; a restart forgets it.

    Attributes:
        attempts: times of logins and their results, for whoever wants to know.
    """

    key: str | None
    remote: bool = True
    clock: Callable[[], float] = time.monotonic
    attempts: list[tuple[float, bool]] = field(default_factory=list)
    _failures: int = 0
    _banned_until: float = 0.0

    def refusal(self, given: str) -> tuple[int, str] | None:
        """None where the key is right, else an HTTP status and a message."""
        now = self.clock()
        if now < self._banned_until:
            left = round(self._banned_until - now)
            text = f"{left // 60}m{left % 60}s" if left >= 60 else f"{left}s"
            return 403, f"IP banned due to too many failed attempts. Try again in {text}"
        if not self.remote:
            return 403, "remote management disabled"
        if self.key is None:
            return 403, "remote management key not set"
        right = given == self.key
        self.attempts.append((now, right))
        if right:
            self._failures = 0
            return None
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            self._failures, self._banned_until = 0, now + BAN_SECONDS
        return 401, "invalid management key" if given else "missing management key"
