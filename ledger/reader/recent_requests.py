"""The requests of the last seven days, kept in step with the store at a cost that does not grow with it.

Rows are kept by pages of ids. A refresh reads the newest pages, where rows arrive. An audit looks at the
older ones in turn, where rows may have been changed, deleted or stored out of order; the caller says how
long. Where something has been lost, all pages are under suspicion until each has been looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from sqlalchemy import Connection

from ledger.pricing.prices import PriceBook
from ledger.pricing.rates import RateTable
from ledger.quota.estimate import PERIOD
from ledger.quota.running import RunningRequests
from ledger.reader.foreign import Request, Stored, request
from ledger.reader.requests import Kept, Page, RequestRows, digest_of, first_id, is_deleted, marks

PAGE_ROWS = 500
AUDIT_PAGES = 10
"""Pages that one step of an audit looks at: five thousand rows, some milliseconds."""

MARGIN = 3_600_000_000
"""Rows are kept an hour longer than they count, in microseconds: clocks are set back."""

NO_ACCOUNT = "unknown"
"""Requests that the store assigns to nobody."""


class RequestPages:
    """Every account's requests of the last seven days."""

    def __init__(self, page_rows: int = PAGE_ROWS, audit_pages: int = AUDIT_PAGES) -> None:
        self._page_rows, self._audit_pages = page_rows, audit_pages
        self.forget()

    def forget(self) -> None:
        """Begin again with the next refresh."""
        self._pages: list[Page] = []
        self._numbers: dict[str, int] = {}
        self._requests: list[RunningRequests] = []
        self._rates = RateTable(PriceBook(()))
        self._since = 0
        self._last_id = 0
        self._turn = 0
        self._suspects = 0

    def of(self, account: str) -> RunningRequests:
        """The requests of an account; empty where it has made none."""
        number = self._numbers.get(account)
        return RunningRequests() if number is None else self._requests[number]

    def accounts(self, since: int) -> list[str]:
        """Accounts with a request that ended at or after a moment."""
        newest = ((account, self._requests[number].newest()) for account, number in self._numbers.items())
        return [account for account, at in newest if at is not None and at >= since]

    @property
    def unreadable(self) -> tuple[int, ...]:
        """The ids of the rows that could not be understood, of those that are remembered."""
        return tuple(id for page in self._pages for id in page.unreadable)

    @property
    def in_doubt(self) -> bool:
        """Whether something was lost, and not all pages have been looked at since."""
        return self._suspects > 0

    def refresh(self, connection: Connection, book: PriceBook, now: int) -> None:
        """Read what is new.

        Args:
            book: the prices that hold; when they change, all is read again.
            now: microseconds since 1970.
        Raises: StoreError, and what the database raises; what was read so far is kept.
        """
        rows = RequestRows(connection)
        prices_changed = book is not self._rates.book and book.prices != self._rates.book.prices
        if prices_changed or now - PERIOD < self._since or rows.last_id() < self._last_id:
            self.forget()
        known = self._pages[-2:]
        before = marks(known)
        self._read(connection, rows, book, now)
        if before and not before & marks(known):  # the same ids, and other rows: a store put in its place
            self.forget()
            self._read(connection, rows, book, now)

    def audit(self, connection: Connection) -> Iterator[None]:
        """Look at the older pages, a few with each step: for one turn, and on while there is doubt.

        Raises: as `refresh` does.
        """
        rows = RequestRows(connection)
        left = len(self._pages) - 1
        while left > 0 or self.in_doubt:
            looked_at = self._next_pages()
            self._compare(rows, looked_at)
            left -= len(looked_at)
            yield

    def _read(self, connection: Connection, rows: RequestRows, book: PriceBook, now: int) -> None:
        """Read on from the last page, or begin where the last days do."""
        self._since = now - PERIOD - MARGIN
        if not self._pages:
            self._rates, self._last_id = RateTable(book), rows.last_id()
            first = first_id(connection, self._since)
            self._pages = [Page(self._last_id - self._page_rows if first is None else first)]
        self._read_tail(rows)
        self._drop_old()

    def _read_tail(self, rows: RequestRows) -> None:
        """Read the page before the last, then the last, and those that follow it."""
        if len(self._pages) > 1:
            self._reread(rows, self._pages[-2])
        while True:
            page = self._pages[-1]
            found = rows.page(page.low, None, self._page_rows)
            self._take(page, found)
            self._last_id = max(self._last_id, int(found[-1][0]) if found else 0)
            if len(found) < self._page_rows:
                return
            page.high = int(found[-1][0]) + 1
            self._pages.append(Page(page.high))

    def _next_pages(self) -> list[Page]:
        """The closed pages whose turn it is; never none unless there are none."""
        closed = len(self._pages) - 1
        self._turn = self._turn if self._turn < closed else 0
        looked_at = self._pages[self._turn : min(closed, self._turn + self._audit_pages)]
        self._turn += len(looked_at)
        self._suspects = max(0, self._suspects - len(looked_at)) if looked_at else 0
        return looked_at

    def _compare(self, rows: RequestRows, pages: Sequence[Page]) -> None:
        """Read again those of the pages that have changed; one digest for all, for digests add up."""
        if not pages:
            return
        known = tuple(map(sum, zip(*(page.digest for page in pages), strict=True)))
        unreadable = any(page.unreadable for page in pages)
        if unreadable or rows.digest(pages[0].low, pages[-1].high) != known:
            for page in pages:
                self._reread(rows, page)

    def _reread(self, rows: RequestRows, page: Page) -> None:
        """Read a closed page again where it has changed."""
        if page.is_as_read(rows.digest(page.low, page.high)):
            return
        found: list[Stored] = []
        low = page.low
        while part := rows.page(low, page.high, self._page_rows):
            found += part
            low = int(part[-1][0]) + 1
        self._take(page, found)

    def _take(self, page: Page, found: Sequence[Stored]) -> None:
        """Make a page hold what was found; where it has lost something, all pages become suspects."""
        digest = digest_of(found)
        if page.is_as_read(digest):
            return
        read = [(int(row[0]), request(row)) for row in found if not is_deleted(row)]
        rows = (self._priced(row) for _, row in read if row is not None)
        before, after = page.kept(), {row for row in rows if row[2] >= self._since}
        lost = before - after
        for _, account, at, cost in lost:
            self._requests[account].remove(at, cost)
        for _, account, at, cost in sorted(after - before):
            self._requests[account].add(at, cost)
        page.keep(after)
        page.digest, page.unreadable = digest, tuple(id for id, row in read if row is None)
        if any(at >= self._since for _, _, at, _ in lost):
            self._suspects = len(self._pages) - 1

    def _priced(self, row: Request) -> Kept:
        cost = self._rates.cost(
            row.at,
            row.model,
            row.tier,
            row.input,
            row.output,
            row.cached,
            row.reasoning,
            row.should_cost,
            row.usd,
            row.provider,
            row.write,
            row.write_1h,
            row.others,
            row.units,
        )
        return row.id, self._number(row.account or NO_ACCOUNT), row.at, cost

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
