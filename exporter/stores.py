"""Which store the exporter reads: the configured ledger, or with `--store` that of a codex-lb."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL

from exporter.source import Source
from ledger import store
from ledger.errors import StoreError
from ledger.pricing.files import current_book
from ledger.quota.capacity import CAPACITIES, Capacity
from ledger.quota.estimate import QuotaRules
from ledger.reader.readonly import Reader
from ledger.store import parse_url, sqlite_url
from settings.model import Quota, Settings

KIND = "codex-lb:"
FOREIGN = "the codex-lb store"
ACCOUNTS = ",accounts="
ALLOWED = "allowed: codex-lb:PATH, codex-lb:PATH,accounts=PATH or codex-lb:postgresql://USER@HOST/NAME"


def source(settings: Settings, store: str | None = None) -> Source:
    """The store to read.

    Args:
        store: what `--store` names; it goes before `[exporter] store`, and that before the ledger.
    Raises: StoreError, PriceError.
    """
    book = current_book(settings.pricing.models)
    rules, capacities = quota_rules(settings.quota), capacity_table(settings.quota)
    named = settings.exporter.store if store is None else store
    if named is None:
        ledger = Reader(ledger_url(settings))
        return Source(ledger, rules=rules, capacities=capacities, book=book, stored_prices=True)
    history, accounts = foreign_urls(named)
    return Source(
        Reader(history, name=FOREIGN),
        Reader(accounts, name=FOREIGN) if accounts else None,
        rules=rules,
        capacities=capacities,
        book=book,
    )


def ledger_url(settings: Settings) -> URL:
    """Where the ledger is; `database_url` goes before `database_path`. Raises: StoreError."""
    storage = settings.storage
    return store.ledger_url(storage.database_url, storage.database_path)


def foreign_urls(store: str) -> tuple[URL, URL | None]:
    """Where a codex-lb has its history, and where its accounts, if apart.

    Raises: StoreError; a URL may hold a password, so it is not shown.
    """
    if not store.startswith(KIND):
        raise StoreError(f"store: it does not begin with {KIND}; {ALLOWED}")
    history, apart, accounts = store.removeprefix(KIND).partition(ACCOUNTS)
    if not history or (apart and not accounts):
        raise StoreError(f"store: a path is missing; {ALLOWED}")
    return _url(history), _url(accounts) if apart else None


def _url(text: str) -> URL:
    return parse_url(text, "store:") if "://" in text else sqlite_url(Path(text).expanduser())


def quota_rules(quota: Quota) -> QuotaRules:
    """The configured thresholds in the ledger's units."""
    return QuotaRules.configured(**quota.model_dump(exclude={"capacity"}))


def capacity_table(quota: Quota) -> dict[str, Capacity]:
    """Credits by plan: the known ones, with the configured ones in their place."""
    given = {
        plan.casefold(): Capacity(c.primary_credits, c.secondary_credits)
        for plan, c in quota.capacity.items()
    }
    return {**CAPACITIES, **given}
