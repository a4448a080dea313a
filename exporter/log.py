"""The exporter's log: failures when they change, and no e-mail address where identity is private."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from exporter.collect import Collector
from ledger.process_log import FORMAT, WithoutSecrets
from metrics.exposition import Samples


def without_addresses(collector: Collector) -> Collector:
    """The same collector, with a lasting pseudonym for every label value that looks like an address.

    Display names are ids already; this is for stores whose ids, plans or statuses are addresses.
    """

    def read(now: datetime) -> tuple[Samples, ...]:
        return tuple(map(_cleaned, collector.read(now)))

    return Collector(collector.name, read)


def pseudonym(value: str) -> str:
    """A name that stays the same for a value and does not tell it; values without an @ stay as they are."""
    return "id-" + hashlib.sha256(value.encode()).hexdigest()[:12] if "@" in value else value


def _cleaned(samples: Samples) -> Samples:
    if not any("@" in value for key in samples.values for value in key):
        return samples
    clean = {tuple(map(pseudonym, key)): value for key, value in samples.values.items()}
    return Samples(samples.family, clean)


log = logging.getLogger("quotascope.exporter")

AGAIN_SECONDS = 3_600
"""How often a failure that lasts is told."""

_ADDRESS = re.compile(r"[^\s'\"()<>,;]*@[^\s'\"()<>,;]*")
HIDDEN = "(address)"


class Failures:
    """Tells which collectors failed: when that changes, and then each hour."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[str, str] = {}
        self._at = clock()

    def tell(self, errors: Mapping[str, str]) -> None:
        """Of one scrape: the error of each collector that failed. Collectors with one error share a line."""
        now = self._clock()
        if errors == self._told and (not errors or now - self._at < AGAIN_SECONDS):
            return
        for error in dict.fromkeys(errors.values()):
            log.warning("%s failed: %s", ", ".join(n for n, e in errors.items() if e == error), error)
        if well := [name for name in self._told if name not in errors]:
            log.warning("%s can be read again", ", ".join(well))
        self._told, self._at = dict(errors), now


class WithoutAddresses(WithoutSecrets):
    """Leaves out whatever looks like an e-mail address, in messages and in tracebacks alike: what a
    database says of a row may show the row."""

    def cleaned(self, line: str) -> str:
        return _ADDRESS.sub(HIDDEN, line)


def keep_addresses_out() -> None:
    for handler in logging.getLogger().handlers:
        handler.setFormatter(WithoutAddresses(FORMAT))
