"""Ledgers that are there already: made once in a test run, and copied. Making one takes 0.1 s."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine

from ledger.pricing.files import current_book
from ledger.pricing.table import CurrentPrices
from ledger.store import create_private, migrate, sqlite_url, writer
from proxy.service import open_ledger
from settings.model import Settings


def place_migrated(path: Path) -> None:
    """Put an empty SQLite ledger of this version where there is none."""
    _place(path, _migrated())


def migrated(path: Path) -> Engine:
    """A SQLite ledger, open for writing; an empty one where there is none."""
    place_migrated(path)
    engine = writer(sqlite_url(path))
    migrate(engine)
    return engine


def place_prepared(path: Path, pricing: Mapping[str, object] | None = None) -> None:
    """Put a SQLite ledger as a proxy without requests leaves it, where there is none: with prices.

    Args:
        pricing: the proxy's own, or it would write all prices again at its start.
    """
    _place(path, _prepared(json.dumps(pricing or {}, default=str)))


def _place(path: Path, content: bytes) -> None:
    if not path.exists():
        create_private(path)
        path.write_bytes(content)


def _made(make: Callable[[Path], None]) -> bytes:
    with TemporaryDirectory(prefix="ledger-") as folder:
        make(Path(folder, "usage.db"))
        return Path(folder, "usage.db").read_bytes()


@cache
def _migrated() -> bytes:
    def make(path: Path) -> None:
        engine = writer(sqlite_url(path))
        migrate(engine)
        engine.dispose()

    return _made(make)


@cache
def _prepared(pricing: str) -> bytes:
    def prepare(path: Path) -> None:
        place_migrated(path)
        given = {"storage": {"database_path": str(path)}, "pricing": json.loads(pricing)}
        settings = Settings.model_validate(given)
        open_ledger(settings, CurrentPrices(current_book(settings.pricing.models))).close()

    return _made(prepare)
