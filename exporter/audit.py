"""Looking again at what was read earlier, between the scrapes and for a small part of the time.

A scrape reads what is new. That a request of three days ago was deleted shows only when one looks there
again; to do that within the scrape would make it slower the more there is to look at.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from exporter.source import Source
from ledger.errors import StoreError

log = logging.getLogger("quotascope.exporter")

SHARE = 0.01
"""Part of the time that each audit may take."""

MAX_SECONDS = 0.1
"""Of one audit between two scrapes, unless requests were lost: then it goes on until it is known which."""


class Audit:
    """Called after each scrape: looks at requests and at readings, each from where it was left off."""

    def __init__(self, source: Source, clock: Callable[[], float] = time.monotonic) -> None:
        self._source, self._clock = source, clock
        self._last = clock()

    def __call__(self, interrupted: Callable[[], bool]) -> None:
        """Look at some of it. It never raises; a store that cannot be read is the next scrape's to report.

        Args:
            interrupted: whether a scrape is waiting; asked after each step.
        """
        begin = self._clock()
        allowed = min(MAX_SECONDS, SHARE * (begin - self._last))
        self._last = begin
        _try(lambda: self._source.audit_requests(self._budget(allowed, interrupted)))
        if not interrupted():
            now, budget = datetime.now(UTC), self._budget(allowed, interrupted)
            _try(lambda: self._source.audit_meters(now, budget))

    def _budget(self, seconds: float, interrupted: Callable[[], bool]) -> Callable[[bool], bool]:
        end = self._clock() + seconds
        return lambda in_doubt: not interrupted() and (in_doubt or self._clock() < end)


def _try(look: Callable[[], None]) -> None:
    """Look at one part; where that fails, the other is looked at all the same."""
    try:
        look()
    except StoreError:
        return
    except Exception as error:
        log.warning("audit failed: %s: %s", type(error).__name__, " ".join(str(error).split()))
