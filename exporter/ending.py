"""Ending in time, whatever a scrape is doing: who does not end by itself is killed in the middle."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from threading import Timer
from types import TracebackType

log = logging.getLogger("quotascope.exporter")

INTERRUPT_SECONDS = 2.0
"""How long a scrape under way may go on after SIGTERM; then what it reads is ended."""

LAST_SECONDS = 5.0
"""When the process ends whatever hangs, in seconds after SIGTERM; Docker kills after ten."""


class LastResort:
    """From `begin` on, ends what is being read after a while, and then the process; nothing of that once
    the `with` block is left. The exporter writes nothing, so nothing is lost."""

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self._timers = (Timer(INTERRUPT_SECONDS, interrupt), Timer(LAST_SECONDS, _end))

    def begin(self) -> None:
        for timer in self._timers:
            timer.daemon = True
            timer.start()

    def __enter__(self) -> LastResort:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in self._timers:
            timer.cancel()


def _end() -> None:
    log.warning("a scrape does not end; the process ends without it")
    os._exit(0)
