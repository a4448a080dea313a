"""How fresh the ledger is: when its newest request ended."""

from __future__ import annotations

from exporter.samples import Samples
from metrics.exporter import NEWEST_REQUEST


def newest(ended: int | None) -> Samples:
    """Seconds since 1970 of microseconds; no value at all where no request is stored, for 0 would be a
    date."""
    return Samples(NEWEST_REQUEST, {} if ended is None else {(): ended / 1_000_000})
