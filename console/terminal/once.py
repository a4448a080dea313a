"""One question to the ledger for a command that prints and ends: it reads only the prices that it needs, and
imports nothing that serves pages or draws screens."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from ledger.pricing.prices import PriceBook
from ledger.pricing.table import price_book, version
from ledger.requests import queries
from ledger.requests.limits import Limit, asking
from ledger.state import check, is_there, missing
from ledger.store import ledger_url, reader
from settings.load import Brief

T = TypeVar("T")


def answer(settings: Brief, question: Callable[[Connection, PriceBook], T], *, seconds: float = 10.0) -> T:
    """The answer to one question. Raises: StoreError, PriceError, and what the question raises."""
    storage = settings.storage
    url = ledger_url(storage.database_url, storage.database_path)
    if not is_there(url):
        raise missing(url)
    engine = reader(url)
    try:
        with asking(engine, Limit(seconds)) as connection:
            check(connection, url)
            return question(connection, _book(connection, settings))
    finally:
        engine.dispose()


def _book(connection: Connection, settings: Brief) -> PriceBook:
    """The stored prices of the models that were used, or what a proxy that starts would store."""
    if version(connection):
        return price_book(connection, queries.models(connection))
    from ledger.pricing.files import current_book  # reads the price files

    return current_book(settings.pricing.models)
