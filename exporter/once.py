"""Doing once per scrape what several collectors need."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """A call that is made once for each scrape: the collectors that come later get the same result, or the
    same error, so that a lock is not waited for by each in turn."""

    def __init__(self, call: Callable[[datetime], T]) -> None:
        self._call = call
        self._at: datetime | None = None
        self._outcome: T | Exception | None = None

    def at(self, now: datetime) -> T:
        """The result of the call for the scrape of that time. Raises what the call raises."""
        if self._at != now:
            self._at = now
            try:
                self._outcome = self._call(now)
            except Exception as error:
                self._outcome = error
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome  # type: ignore[return-value]  # T itself may be None
