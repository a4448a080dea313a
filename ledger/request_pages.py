"""The requests of the last seven days, kept in step with the store at a cost that does not grow with it.

Rows are kept by pages of ids. A refresh reads the newest pages, where rows arrive. An audit looks at the
older ones in turn, where rows may have been changed, deleted or stored out of order; the caller says how
long. Where something has been lost, all pages are under suspicion until each has been looked at.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from sqlalchemy import Connection

from ledger.foreign import Stored, micros
from ledger.prices import PriceBook
from ledger.quota import PERIOD
from ledger.rates import RateTable
from ledger.request_rows import Digest, RequestRows, digest_of, first_id, is_deleted
from ledger.running import RunningRequests

PAGE_ROWS = 500
AUDIT_PAGES = 10
"""Pages that one step of an audit looks at: five thousand rows, some milliseconds."""

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
        since = now - PERIOD - MARGIN
        if book.prices != self._rates.book.prices or now - PERIOD < self._since:
            self.forget()
            self._rates = RateTable(book)
        rows = RequestRows(connection)
        self._since = since
        if not self._pages:
            last = rows.last_id()
            first = first_id(connection, since)
            self._pages = [_Page(last - self._page_rows if first is None else first)]
        self._read_tail(rows)
        self._drop_old()

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

    def _read_tail(self, rows: RequestRows) -> None:
        """Read the page before the last, then the last, and those that follow it."""
        if len(self._pages) > 1:
            self._reread(rows, self._pages[-2])
        while True:
            page = self._pages[-1]
            found = rows.page(page.low, None, self._page_rows)
            self._take(page, found)
            if len(found) < self._page_rows:
                return
            page.high = int(found[-1][0]) + 1
            self._pages.append(_Page(page.high))

    def _next_pages(self) -> list[_Page]:
        """The closed pages whose turn it is; never none unless there are none."""
        closed = len(self._pages) - 1
        self._turn = self._turn if self._turn < closed else 0
        looked_at = self._pages[self._turn : min(closed, self._turn + self._audit_pages)]
        self._turn += len(looked_at)
        self._suspects = max(0, self._suspects - len(looked_at)) if looked_at else 0
        return looked_at

    def _compare(self, rows: RequestRows, pages: Sequence[_Page]) -> None:
        """Read again those of the pages that have changed; one digest for all, for digests add up."""
        if not pages:
            return
        known = tuple(map(sum, zip(*(page.digest for page in pages), strict=True)))
        if rows.digest(pages[0].low, pages[-1].high) != known:
            for page in pages:
                self._reread(rows, page)

    def _reread(self, rows: RequestRows, page: _Page) -> None:
        """Read a closed page again where it has changed."""
        if rows.digest(page.low, page.high) == page.digest:
            return
        found: list[Stored] = []
        low = page.low
        while part := rows.page(low, page.high, self._page_rows):
            found += part
            low = int(part[-1][0]) + 1
        self._take(page, found)

    def _take(self, page: _Page, found: Sequence[Stored]) -> None:
        """Make a page hold what was found; where it has lost something, all pages become suspects."""
        digest = digest_of(found)
        if digest == page.digest:
            return
        rows = (self._priced(row) for row in found if not is_deleted(row))
        before, after = page.kept(), {row for row in rows if row[2] >= self._since}
        lost = before - after
        for _, account, at, cost in lost:
            self._requests[account].remove(at, cost)
        for _, account, at, cost in sorted(after - before):
            self._requests[account].add(at, cost)
        page.keep(after)
        page.digest = digest
        if any(at >= self._since for _, _, at, _ in lost):
            self._suspects = len(self._pages) - 1

    def _priced(self, row: Stored) -> _Kept:
        id, account, ended, model, tier, input, output, cached, reasoning, status, kind, usd, _ = row
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
