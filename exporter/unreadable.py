"""Rows of the store that could not be understood: how many, and a line in the log when there are more."""

from __future__ import annotations

import logging

from metrics.exporter import UNREADABLE_ROWS
from metrics.exposition import Samples

log = logging.getLogger("quotascope.exporter")


class Unreadable:
    """Tells of one table."""

    def __init__(self, table: str) -> None:
        self._table = table
        self._told = 0

    def samples(self, rows: int, newest: int | None = None) -> Samples:
        """How many rows there are.

        Args:
            newest: the id of the newest of them, for the log; never what stands in the row, which may be
                anything.
        """
        if rows > self._told:
            which = "" if newest is None else f", row {newest} among them"
            log.warning("%s: %d rows cannot be understood and do not count%s", self._table, rows, which)
        self._told = rows
        return Samples(UNREADABLE_ROWS, {(self._table,): rows})
