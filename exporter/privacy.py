"""Keeping e-mail addresses out of the labels where identity is private."""

from __future__ import annotations

import hashlib
from datetime import datetime

from exporter.collect import Collector
from exporter.samples import Samples


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
