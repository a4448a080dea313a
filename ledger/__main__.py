"""`python -m ledger`: the accounts that requests are routed to, what requests cost, its upkeep."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import URL, Connection

from ledger.accounts import audit
from ledger.accounts import changes as accounts
from ledger.accounts.configured import checked, described
from ledger.accounts.pool import read_fleet
from ledger.cli.arguments import parser
from ledger.cli.failure import failure
from ledger.cli.price import price
from ledger.cli.prices import UNPRICED_DAYS, changes_text, price_list, unpriced, unpriced_text
from ledger.cli.tables import fleet_table, history_table
from ledger.cli.upkeep import COMMANDS, Ledger, run
from ledger.errors import AccountConflict, AccountExists, LedgerError, UnknownAccount
from ledger.pricing.files import catalogue_source, current_book, load_catalogue
from ledger.pricing.library import library_prices, library_version
from ledger.pricing.prices import PriceBook
from ledger.pricing.table import CurrentPrices, replace_prices
from ledger.pricing.updates import changes, take
from ledger.state import is_there
from ledger.store import ledger_url, migrate, translated, writer
from ledger.upkeep.retention import Keep
from settings.arguments import OneLineParser, end_with
from settings.errors import SettingsError
from settings.load import account_table, load
from settings.model import Settings

CHANGES: Mapping[str, Callable[[Connection, str, datetime], None]] = {
    "pause": accounts.pause,
    "resume": accounts.resume,
    "reauth": accounts.reauth,
    "remove": accounts.remove,
}

DONE = {
    "add": "added",
    "pause": "paused",
    "resume": "resumed",
    "reauth": "credential reloaded",
    "remove": "removed",
}

UNFIT = (AccountConflict, UnknownAccount)
"""What is asked is well-formed, but does not fit the accounts as they are."""


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command; returns the exit code."""
    asked = parser(OneLineParser).parse_args(arguments)
    try:
        answer = _answer(load(asked.config, environ), asked, datetime.now(UTC))
        print(answer, end="\n" if answer else "")
    except (SettingsError, LedgerError) as error:
        print(f"ledger: {error}", file=sys.stderr)
        return 1 if isinstance(error, UNFIT) else 2
    return 0


def _answer(settings: Settings, asked: argparse.Namespace, now: datetime) -> str:
    if asked.subject in COMMANDS:
        return run(asked, _upkeep(settings), now)
    if asked.subject == "price":
        return price(_book(settings), asked, now)
    if asked.subject == "failure":
        storage = settings.storage
        with _ledger(settings) as connection:
            return failure(connection, asked.id, kept=storage.failure_bodies, days=storage.failure_body_days)
    if asked.subject == "prices":
        return _prices(settings, asked, now)
    return _accounts(settings, asked, now)


def _upkeep(settings: Settings) -> Ledger:
    storage = settings.storage
    url = ledger_url(storage.database_url, storage.database_path)
    outbox = storage.outbox_path if url.get_backend_name() != "sqlite" and storage.outbox else None
    return Ledger(url, Keep(*storage.retention.days), lambda: _book(settings), outbox)


def _prices(settings: Settings, asked: argparse.Namespace, now: datetime) -> str:
    if asked.command == "list":
        return price_list(_book(settings), asked.model, asked.provider)
    if asked.command == "unpriced":
        book = _book(settings)
        with _ledger(settings) as connection:
            return unpriced_text(unpriced(connection, book, now - timedelta(days=UNPRICED_DAYS)))
    if asked.command == "diff":
        return changes_text(changes(load_catalogue(), library_prices()), library_version())
    if asked.command == "apply":
        return _apply(settings)
    found = take(today=now.date())
    return "\n".join([changes_text(found, catalogue_source()), _apply(settings)])


def _apply(settings: Settings) -> str:
    """Hand the prices of the files to what runs on the ledger."""
    book = current_book(settings.pricing.models)
    url = ledger_url(settings.storage.database_url, settings.storage.database_path)
    if not is_there(url):
        return "no ledger yet; the proxy applies these prices when it starts"
    with _ledger(settings) as connection:
        changed = replace_prices(connection, book.prices, settings.pricing.currency)
    return "applied; running services follow within seconds" if changed else "already applied"


def _book(settings: Settings) -> PriceBook:
    """The prices of the ledger, or what a proxy that starts would give it."""
    current = CurrentPrices(current_book(settings.pricing.models))
    with _ledger(settings) as connection:
        current.follow(connection)
    return current.book


def _accounts(settings: Settings, asked: argparse.Namespace, now: datetime) -> str:
    if asked.command == "list":
        return _listed(settings, now)
    if asked.command == "history":
        return _history(settings, asked)
    if asked.command == "add":
        _add(settings, asked, now)
    else:
        _change(settings, asked, now)
    return f"{asked.id}: {DONE[asked.command]}; running proxies follow within 2 s"


def _listed(settings: Settings, now: datetime) -> str:
    of_the_file = [checked(described(name, table)) for name, table in settings.accounts.items()]
    with _ledger(settings) as connection:
        members = read_fleet(connection).members
    known = {member.account.id for member in members}
    return fleet_table(members, [account for account in of_the_file if account.id not in known], now)


def _history(settings: Settings, asked: argparse.Namespace) -> str:
    with _ledger(settings) as connection:
        entries = audit.entries(connection, asked.id, most=asked.most)
    if asked.id and not entries:
        raise UnknownAccount(asked.id, "no such account, now or earlier")
    return history_table(entries)


def _add(settings: Settings, asked: argparse.Namespace, now: datetime) -> None:
    given = {name: getattr(asked, name) for name in ("credential", "email", "plan", "pool")}
    table = account_table(asked.id, {**given, "upstream_base_url": asked.upstream})
    if asked.id in settings.accounts:
        raise AccountExists(asked.id, "it is defined in the configuration file")
    with _ledger(settings, make=True) as connection:
        accounts.add(connection, described(asked.id, table), now)


def _change(settings: Settings, asked: argparse.Namespace, now: datetime) -> None:
    try:
        with _ledger(settings) as connection:
            CHANGES[asked.command](connection, asked.id, now)
    except UnknownAccount as error:
        if asked.id not in settings.accounts:
            raise
        later = "it is defined in the configuration file; the proxy adds it when it starts"
        raise UnknownAccount(asked.id, later) from error


@contextmanager
def _ledger(settings: Settings, *, make: bool = False) -> Iterator[Connection]:
    """A transaction on the ledger of the configuration, migrated. One that is not there is an empty one, and
    only `make` leaves it behind. Raises: StoreError."""
    url = ledger_url(settings.storage.database_url, settings.storage.database_path)
    engine = writer(url if make or is_there(url) else URL.create("sqlite"))
    try:
        migrate(engine)
        with translated(url, "cannot use"), engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


if __name__ == "__main__":
    if sys.argv[1:2] in (["backup"], ["check"], ["export"]) and "--repair" not in sys.argv:
        os.nice(10)  # they take long and hold no lock: who writes gets a core first
    end_with(main)
