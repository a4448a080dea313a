"""How fresh the ledger is: when its newest request ended."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from exporter.metrics import NEWEST_REQUEST
from exporter.samples import Samples
from ledger.queries import newest_request


def collect(connection: Connection, now: datetime) -> tuple[Samples, ...]:
    """Read the end of the newest request; `now` plays no part."""
    return (newest(newest_request(connection)),)


def newest(ended: datetime | None) -> Samples:
    """Seconds since 1970; no value at all where no request is stored, for 0 would be a date."""
    return Samples(NEWEST_REQUEST, {} if ended is None else {(): ended.timestamp()})
