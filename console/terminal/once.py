"""Questions to the ledger for a command that prints and ends: it reads only the prices that it needs, and
imports nothing that serves pages or draws screens."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine

from ledger.pricing.prices import PriceBook
from ledger.pricing.table import price_book, version
from ledger.requests import queries
from ledger.requests.limits import Limit, asking
from ledger.state import check, is_there, missing
from ledger.store import ledger_url, reader
from settings.load import Brief

T = TypeVar("T")


class Ledger:
    """One ledger. For who asks again it remembers statements, prices and sums; it holds no connection."""

    def __init__(self, settings: Brief) -> None:
        self._settings = settings
        self._prices: tuple[Hashable, PriceBook] = ((), PriceBook(()))

    def answer(self, question: Callable[[Connection, PriceBook], T], *, seconds: float = 10.0) -> T:
        """The answer to one question. Raises: StoreError, PriceError, and what the question raises."""
        url = self._url
        if not is_there(url):
            raise missing(url)
        try:
            with asking(self._engine, Limit(seconds)) as connection:
                check(connection, url)
                return question(connection, self._book(connection))
        finally:
            self._engine.dispose()

    def identity(self) -> Hashable:
        """Another one where the ledger's file was replaced; None where it is no file, or not there."""
        from ledger.reader.sqlite_file import look  # a line that is asked once does without

        if self._url.get_backend_name() == "sqlite" and not self._url.query:
            with suppress(OSError):
                return look(Path(self._url.database or "").resolve()).identity
        return None

    @cached_property
    def _url(self) -> URL:
        return ledger_url(self._settings.storage.database_url, self._settings.storage.database_path)

    @cached_property
    def _engine(self) -> Engine:
        return reader(self._url)

    def _book(self, connection: Connection) -> PriceBook:
        """The stored prices of the models that were used, or what a proxy that starts would store."""
        number = version(connection)
        of = (number, queries.models(connection) if number else ())
        if self._prices[0] != of:
            self._prices = (of, price_book(connection, of[1]) if number else self._configured())
        return self._prices[1]

    def _configured(self) -> PriceBook:
        from ledger.pricing.files import current_book  # reads the price files

        return current_book(self._settings.pricing.models)
