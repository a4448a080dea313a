"""The requests of the last seven days, kept in step with the store at a cost that does not grow with it.

Rows are kept by pages of ids. A refresh reads the newest pages, where rows arrive, and a few older ones in
turn, where rows may have been changed, deleted or stored out of order. When an older page has lost
something, all are read again at once; so what an owner deletes as a whole is noticed within a refresh or
two, and a single row within one turn of the pages.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from sqlalchemy import Connection

from ledger.foreign import Digest, RequestRows, Stored, digest_of, micros
from ledger.prices import PriceBook
from ledger.quota import PERIOD
from ledger.rates import RateTable
from ledger.running import RunningRequests

PAGE_ROWS = 500
AUDIT_PAGES = 8
"""Older pages that are read again in each refresh."""

MARGIN = 3_600_000_000
"""Rows are kept an hour longer than they count, in microseconds: clocks are set back."""

NO_ACCOUNT = "unknown"
"""Requests that the store assigns to nobody."""

_Kept = tuple[int, int, int, int]
"""id, number of the account, time, cost."""


@dataclass(slots=True)
class _Page:
    """Rows of the ids [low, high); high is None in the last page, which grows.

    Attributes:
        digest: of the rows as they were read.
        columns: of the rows that were young enough to keep: id, account, time, cost.
    """

    low: int
    high: int | None = None
    digest: Digest = ()
    columns: tuple[array[int], ...] = field(default_factory=lambda: tuple(array("q") for _ in range(4)))

    def kept(self) -> set[_Kept]:
        return set(zip(*self.columns, strict=True))

    def keep(self, rows: set[_Kept]) -> None:
        parts = zip(*rows, strict=True) if rows else ((),) * 4
        self.columns = tuple(array("q", part) for part in parts)

    def newest(self) -> int:
        return max(self.columns[2], default=0)


class RequestPages:
    """Every account's requests of the last seven days."""

    def __init__(self, page_rows: int = PAGE_ROWS, audit_pages: int = AUDIT_PAGES) -> None:
        self._page_rows, self._audit_pages = page_rows, audit_pages
        self.forget()

    def forget(self) -> None:
        """Begin again with the next refresh."""
        self._pages: list[_Page] = []
        self._numbers: dict[str, int] = {}
        self._requests: list[RunningRequests] = []
        self._rates = RateTable(PriceBook(()))
        self._since = 0
        self._turn = 0

    def of(self, account: str) -> RunningRequests:
        """The requests of an account; empty where it has made none."""
        number = self._numbers.get(account)
        return RunningRequests() if number is None else self._requests[number]

    def accounts(self, since: int) -> list[str]:
        """Accounts with a request that ended at or after a moment."""
        newest = ((account, self._requests[number].newest()) for account, number in self._numbers.items())
        return [account for account, at in newest if at is not None and at >= since]

    def refresh(self, connection: Connection, book: PriceBook, now: int) -> None:
        """Read what is new, and some of what is old.

        Args:
            book: the prices that hold; when they change, all is read again.
            now: microseconds since 1970.
        Raises: StoreError, and what the database raises; what was read so far is kept.
        """
        since = now - PERIOD - MARGIN
        if book.prices != self._rates.book.prices or now - PERIOD < self._since:
            self.forget()
            self._rates = RateTable(book)
        rows = RequestRows(connection)
        if not self._pages:
            first = rows.first_id(since)
            if first is None:
                return
            self._pages = [_Page(first)]
        self._since = since
        self._read_tail(rows)
        self._audit(rows)
        self._drop_old()

    def _read_tail(self, rows: RequestRows) -> None:
        """Read the page before the last, then the last, and those that follow it."""
        if len(self._pages) > 1 and self._reread(rows, self._pages[-2]):
            self._reread_all(rows)
        while True:
            page = self._pages[-1]
            found = rows.page(page.low, None, self._page_rows)
            self._take(page, found)
            if len(found) < self._page_rows:
                return
            page.high = int(found[-1][0]) + 1
            self._pages.append(_Page(page.high))

    def _audit(self, rows: RequestRows) -> None:
        """Look at the next few closed pages, all of them with one digest: digests add up."""
        closed = self._pages[:-1]
        self._turn = self._turn if self._turn < len(closed) else 0
        looked_at = closed[self._turn : self._turn + self._audit_pages]
        self._turn += len(looked_at)
        if not looked_at:
            return
        known = tuple(map(sum, zip(*(page.digest for page in looked_at), strict=True)))
        if rows.digest(looked_at[0].low, looked_at[-1].high) == known:
            return
        lost = [self._reread(rows, page) for page in looked_at]
        if any(lost):
            self._reread_all(rows)

    def _reread_all(self, rows: RequestRows) -> None:
        for page in self._pages[:-1]:
            self._reread(rows, page)

    def _reread(self, rows: RequestRows, page: _Page) -> bool:
        """Read a closed page again where it has changed; whether it has lost something."""
        if rows.digest(page.low, page.high) == page.digest:
            return False
        found: list[Stored] = []
        low = page.low
        while part := rows.page(low, page.high, self._page_rows):
            found += part
            low = int(part[-1][0]) + 1
        return self._take(page, found)

    def _take(self, page: _Page, found: Sequence[Stored]) -> bool:
        """Make a page hold what was found; whether it has lost something that still counted."""
        digest = digest_of(found)
        if digest == page.digest:
            return False
        before, after = page.kept(), {row for row in map(self._priced, found) if row[2] >= self._since}
        lost = before - after
        for _, account, at, cost in lost:
            self._requests[account].remove(at, cost)
        for _, account, at, cost in sorted(after - before):
            self._requests[account].add(at, cost)
        page.keep(after)
        page.digest = digest
        return any(at >= self._since for _, _, at, _ in lost)

    def _priced(self, row: Stored) -> _Kept:
        id, account, ended, model, tier, input, output, cached, reasoning, status, kind, usd = row
        at = micros(ended)
        should_cost = kind != "read" and str(status).casefold() == "success"
        cost = self._rates.cost(at, model, tier, input, output, cached, reasoning, should_cost, usd)
        return int(id), self._number(account or NO_ACCOUNT), at, cost

    def _number(self, account: str) -> int:
        number = self._numbers.setdefault(account, len(self._numbers))
        if number == len(self._requests):
            self._requests.append(RunningRequests())
        return number

    def _drop_old(self) -> None:
        """Drop the pages at the front of which nothing counts any more."""
        old = 0
        for page in islice(self._pages, max(0, len(self._pages) - 2)):
            if page.newest() >= self._since:
                break
            old += 1
        for page in self._pages[:old]:
            for _, account, at, cost in page.kept():
                self._requests[account].remove(at, cost)
        del self._pages[:old]
        self._turn = max(0, self._turn - old)
