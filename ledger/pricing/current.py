"""The prices that hold now, for what runs on while they change."""

from __future__ import annotations

import logging

from sqlalchemy import Connection

from ledger.errors import PriceError
from ledger.pricing.prices import PriceBook
from ledger.pricing.table import price_book, replace_prices, version

log = logging.getLogger("quotascope.prices")


class CurrentPrices:
    """A price book that follows the table `prices`. Reading it is one attribute, from any thread."""

    def __init__(self, book: PriceBook) -> None:
        self.book = self._own = book
        self._version = 0

    def store(self, connection: Connection, currency: str = "USD") -> None:
        """Make the prices that it began with those of the ledger. Raises: PriceError where there are none."""
        replace_prices(connection, self._own.prices, currency)
        self.book, self._version = self._own, version(connection)

    def follow(self, connection: Connection) -> bool:
        """Take the stored prices where they have changed; whether they had. Of a table that cannot be used
        nothing is taken: it is said once, and looked at again when it has changed again."""
        found = version(connection)
        if found in (0, self._version):  # 0: nothing was ever stored
            return False
        self._version = found
        try:
            self.book = price_book(connection)
        except PriceError as error:
            log.error("the stored prices cannot be used, those of before stay in force: %s", error)
            return False
        return True

    def forget(self) -> None:
        """The store is another one: take its prices the next time, whatever their version."""
        self._version = 0
