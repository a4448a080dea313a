"""`python -m ledger.upkeep.ahead FILE`: read days that are over into the folder beside a ledger, before
somebody asks for them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from sqlalchemy import URL

from ledger.errors import LedgerError
from ledger.reader.day_file import DayFile, file_of
from ledger.requests.limits import Limit, asking
from ledger.requests.totals.remembered import keep_days
from ledger.requests.totals.row_ids import read_ahead
from ledger.store import reader, sqlite_url

DAY_SECONDS = 600.0
"""How long reading one day may take."""


def read_days(file: Path) -> int:
    """Read what is not read yet, the newest day first, as far as there is room; how many days were looked at.

    Raises: StoreError, TooSlow.
    """
    url, number = sqlite_url(file), 0
    place = file_of(url, True)
    while _read_day(url, place, number):
        number += 1
    return number


def _read_day(url: URL, place: DayFile | None, number: int) -> bool:
    """With an engine of its own: what is remembered of a day goes with it."""
    engine = reader(url)
    keep_days(engine, lambda: place)
    try:
        with asking(engine, Limit(DAY_SECONDS)) as connection:
            return read_ahead(connection, number)
    finally:
        engine.dispose()


if __name__ == "__main__":
    os.nice(19)
    with suppress(LedgerError):  # it is away, or being changed: the next time
        read_days(Path(sys.argv[1]))
