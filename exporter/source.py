"""The store that is scraped, with what is remembered of it from scrape to scrape.

What cannot be read raises, and nothing that was read earlier is given out instead. What is remembered is
only how far the reading has come; it is dropped when the store is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from exporter.collect import Once
from ledger.errors import StoreChanged, StoreError
from ledger.pricing.prices import PriceBook
from ledger.pricing.table import CurrentPrices
from ledger.quota.capacity import Capacity
from ledger.quota.estimate import PERIOD, Estimates, QuotaEstimate, QuotaRules
from ledger.reader.foreign import Accounts, micros, read_accounts
from ledger.reader.meters import Meters, Shown
from ledger.reader.newest import newest_request_at, store_bytes
from ledger.reader.readonly import Reader, passes_by_itself
from ledger.reader.recent_requests import RequestPages
from ledger.requests.queries import Account
from ledger.state import exists

T = TypeVar("T")

NO_ACCOUNT = "unknown"
"""The account of requests that name none."""

APART = "where they are in a file of their own, name it too: codex-lb:PATH,accounts=PATH"


@dataclass(frozen=True, slots=True)
class Usage:
    """One account as of one scrape: its quota windows, and the resets of the weekly one seen so far."""

    account: Account
    shown: Shown
    resets: int


class Source:
    """A store: this ledger's own, or codex-lb's."""

    def __init__(
        self,
        history: Reader,
        accounts: Reader | None = None,
        *,
        rules: QuotaRules,
        capacities: Mapping[str, Capacity],
        book: PriceBook,
        stored_prices: bool = False,
    ) -> None:
        """
        Args:
            history: has the requests and the readings of the meters.
            accounts: has the accounts; None where all is in one store.
            book: the prices, unless the store has some.
            stored_prices: it may have; a codex-lb's never does.
        """
        self.capacities = capacities
        self._history, self._accounts = history, accounts or history
        self._stored_prices = stored_prices
        self._prices, self._estimates = CurrentPrices(book), Estimates(rules)
        self._meters, self._pages = Meters(rules), RequestPages()
        self._seen: dict[str, Hashable] = {}
        self._account_list = Once(self._read_accounts)
        self._metered, self._paged = Once(self._read_meters), Once(self._read_pages)

    def accounts(self, now: datetime) -> Accounts:
        """The accounts as of one scrape. Raises: StoreError, as everything here."""
        return self._account_list.at(now)

    @property
    def progressed(self) -> float:
        """When a statement last ended, by `time.monotonic`."""
        return max(self._history.progressed, self._accounts.progressed)

    def interrupt(self) -> None:
        """End what is being read with a StoreError, and read no more until `resume`; from any thread."""
        self._history.interrupt()
        self._accounts.interrupt()

    def resume(self) -> None:
        """Read again after `interrupt`."""
        self._history.resume()
        self._accounts.resume()

    def close(self) -> None:
        """Let go of the connections to a server."""
        self._history.close()
        self._accounts.close()

    def newest_request(self, now: datetime) -> int | None:
        """When the newest request ended, at most `now`, microseconds since 1970."""
        return _read_from(self._history, lambda connection: newest_request_at(connection, micros(now)))

    def bytes(self) -> int:
        """How large the store of the requests is."""
        return _read_from(self._history, store_bytes)

    def unreadable_requests(self, now: datetime) -> tuple[int, ...]:
        """Ids of the requests that could not be understood."""
        return self._paged.at(now).unreadable

    def unreadable_readings(self, now: datetime) -> tuple[int, ...]:
        """Ids of the readings of meters that could not be understood."""
        return self._metered.at(now).unreadable

    def usage(self, now: datetime) -> tuple[Usage, ...]:
        at, meters = micros(now), self._metered.at(now)
        accounts = self.accounts(now).shown
        return tuple(Usage(a, meters.shown(a.id, at), meters.resets(a.id)) for a in accounts)

    def estimates(self, now: datetime) -> Mapping[str, QuotaEstimate]:
        """What every account has spent and used, those included that have only requests."""
        at, meters, pages = micros(now), self._metered.at(now), self._paged.at(now)
        accounts = self.accounts(now)
        known = [account.id for account in accounts.shown]
        # Requests outlive their account: in a codex-lb's store one that is not listed was deleted. Here that
        # is marked, and an account may have requests alone: of a proxy without accounts, of a gateway.
        told = {*pages.accounts(at - PERIOD)}
        if not self._stored_prices:
            told &= {NO_ACCOUNT}
        others = sorted(told - {*known} - accounts.hidden)
        return {
            id: self._estimates.of(id, shown.cycle, pages.of(id), at, metered=shown.secondary is not None)
            for id in (*known, *others)
            for shown in (meters.shown(id, at),)
        }

    def audit_requests(self, go_on: Callable[[bool], bool]) -> None:
        """Look again at requests that were read earlier.

        Args:
            go_on: called after each step, of some milliseconds, with whether requests were lost and it is
                not yet known which; whether to take another.
        Raises: StoreError. What is damaged makes the next scrape read everything again, and report it.
        """

        def steps(connection: Connection) -> Iterator[bool]:
            return (self._pages.in_doubt for _ in self._pages.audit(connection))

        self._audit("pages", lambda connection: _take(steps(connection), go_on), self._pages.forget)

    def audit_meters(self, now: datetime, go_on: Callable[[bool], bool]) -> None:
        """Look again at the readings of the meters; as `audit_requests`, and there is never doubt."""

        def steps(connection: Connection) -> Iterator[bool]:
            return (False for _ in self._meters.audit(connection, micros(now)))

        self._audit("meters", lambda connection: _take(steps(connection), go_on), self._meters.forget)

    def _read_accounts(self, now: datetime) -> Accounts:
        return _read_from(self._accounts, partial(self._accounts_of, at=micros(now)))

    def _accounts_of(self, connection: Connection, at: int) -> Accounts:
        foreign_and_whole = not self._stored_prices and self._accounts is self._history
        if foreign_and_whole and not exists(connection, "accounts"):
            raise StoreError(f"{self._history.name} has no table accounts; {APART}")
        return read_accounts(connection, at)

    def _read_meters(self, now: datetime) -> Meters:
        ids = [account.id for account in self.accounts(now).shown]
        read = partial(self._meters.refresh, accounts=ids, now=micros(now))
        self._refresh("meters", read, self._meters.forget)
        return self._meters

    def _read_pages(self, now: datetime) -> RequestPages:
        def read(connection: Connection) -> None:
            if self._stored_prices:
                self._prices.follow(connection)
            self._pages.refresh(connection, self._prices.book, micros(now))

        self._refresh("pages", read, self._pages.forget)
        return self._pages

    def _audit(self, name: str, look: Callable[[Connection], None], forget: Callable[[], None]) -> None:
        try:
            self._refresh(name, look, forget)
        except StoreError as error:
            if not passes_by_itself(error):
                forget()
            raise

    def _refresh(self, name: str, read: Callable[[Connection], None], forget: Callable[[], None]) -> None:
        """Read on from where the last scrape ended, or from the start where the store is another one."""
        identity = self._history.identity()
        if self._seen.get(name, identity) != identity:
            forget()
            self._prices.forget()
        self._seen[name] = identity
        try:
            self._read(read, forget)
        except StoreChanged:
            self._read(read, forget)

    def _read(self, read: Callable[[Connection], None], forget: Callable[[], None]) -> None:
        """Read once; what was read of a store that changed meanwhile may be a mixture, and is dropped; so is
        what was read before an error of our own, for it may be half of something."""
        try:
            with self._history.reading() as connection:
                read(connection)
        except Exception as error:
            if isinstance(error, StoreChanged) or not isinstance(error, StoreError):
                forget()
            raise


def _read_from(reader: Reader, read: Callable[[Connection], T]) -> T:
    """Read what is remembered by nobody; once more where the store changed meanwhile."""
    try:
        with reader.reading() as connection:
            return read(connection)
    except StoreChanged:
        with reader.reading() as connection:
            return read(connection)


def _take(steps: Iterator[bool], go_on: Callable[[bool], bool]) -> None:
    for in_doubt in steps:
        if not go_on(in_doubt):
            return
