"""`python -m collector import`: each row of each file is in the ledger once, whenever it is imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

from sqlalchemy import Connection

from collector.accounts import ORIGIN, Directory
from collector.decoding.fields import Undecodable, text
from collector.importing.files import File, Kind, Page, look
from collector.importing.rows import DECODERS
from collector.service import open_ledger
from ledger import store
from ledger.pricing.files import current_book
from ledger.pricing.table import CurrentPrices
from ledger.requests import collected, writes
from ledger.requests.collected import Forgotten, Seen
from ledger.state import is_there
from ledger.values import RequestEvent
from settings.model import Settings

GATEWAYS: Mapping[Kind | None, str] = {"CPA-Manager-Plus": "cpamp"}
"""What an account's gateway is called where nobody says otherwise."""

WIDTH = 30
_STATUSES = frozenset(
    {"active", "rate_limited", "quota_exceeded", "paused", "reauth_required", "deactivated"}
)


@dataclass(slots=True)
class Summary:
    """What became of a file's rows.

    Attributes:
        known: in the ledger already; or in its sums, with all others of their hour, where it has forgotten
            the requests.
        left_out: deleted by their owner, outside of the time that was asked for, or from before the ledger
            can tell what it has counted.
        collected: in the ledger already, because the collector had them from the gateway itself.
        problems: how many rows could not be read, by what is wrong with them.
    """

    name: str
    kind: Kind | None
    new: int = 0
    known: int = 0
    left_out: int = 0
    collected: int = 0
    problems: Counter[str] = field(default_factory=Counter)

    def line(self, *, dry: bool) -> str:
        unreadable = sum(self.problems.values())
        new = f"{self.new:,} {'would be ' if dry else ''}new"
        found = f"{self.name} ({self.kind or 'accounts alone'}): {new}, {self.known:,} known, "
        found += f"{unreadable:,} unreadable"
        found += f", {self.collected:,} collected already" if self.collected else ""
        found += f", {self.left_out:,} left out" if self.left_out else ""
        return "\n".join([found, *(f"  {n:,} x {what}" for what, n in self.problems.most_common(5))])


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for.

    Attributes:
        gateway: the name that accounts of a gateway get; None: the usual one.
        until: later requests are left out, because they were collected otherwise.
        dry: only look.
    """

    files: Sequence[str]
    gateway: str | None = None
    until: datetime | None = None
    dry: bool = False


def import_files(settings: Settings, wish: Wish, bar: TextIO | None) -> Iterator[Summary]:
    """Import files one after the other.

    Args:
        bar: where to draw how far it is; None: nowhere.
    Raises: ImportFailed, StoreError; what was imported until then stays, and is known the next time.
    """
    files = [look(place) for place in wish.files]
    with _ledger(settings, dry=wish.dry) as ledger:
        for file in files:
            yield _Import(file, wish, ledger).run(bar)


def _unknown(
    connection: Connection, events: Sequence[RequestEvent], forgotten: Forgotten
) -> list[RequestEvent]:
    """Those that the ledger neither has nor has counted."""
    return [event for event in writes.missing(connection, events) if not forgotten.is_counted(event)]


class Ledger:
    def __init__(self, settings: Settings) -> None:
        prices = CurrentPrices(current_book(settings.pricing.models))
        self._ledger = open_ledger(settings, Directory(), prices)
        with self._ledger.writing() as connection:
            self.forgotten = collected.forgotten(connection)

    def take(
        self, events: Sequence[RequestEvent], accounts: Sequence[Mapping[str, Any]], seen: Seen
    ) -> tuple[int, int]:
        """Store what is new; returns how many were, and how many had been collected."""
        with self._ledger.writing() as connection:
            for account in accounts:
                writes.ensure_account(connection, **account)
            fresh = _unknown(connection, events, self.forgotten)
            new = collected.without(connection, fresh, seen)
            writes.record(connection, new)
            return len(new), len(fresh) - len(new)

    def close(self) -> None:
        self._ledger.close()


class Look:
    """The same, without a word being written. Raises: StoreError for a ledger of another version."""

    def __init__(self, settings: Settings) -> None:
        storage = settings.storage
        self._url = store.ledger_url(storage.database_url, storage.database_path)
        self._engine = store.reader(self._url, busy_timeout_seconds=5)
        self._there = is_there(self._url)
        self._seen: set[str] = set()
        self.forgotten = Forgotten()
        if self._there:
            with store.translated(self._url, "cannot read"), self._engine.connect() as connection:
                self.forgotten = collected.forgotten(connection)

    def take(
        self, events: Sequence[RequestEvent], accounts: Sequence[Mapping[str, Any]], seen: Seen
    ) -> tuple[int, int]:
        """How many are new, and how many were collected."""
        fresh = new = [event for event in events if event.id not in self._seen]
        if self._there:
            with store.translated(self._url, "cannot read"), self._engine.connect() as connection:
                fresh = _unknown(connection, fresh, self.forgotten)
                new = collected.without(connection, fresh, seen)
        self._seen.update(event.id for event in fresh)
        return len(new), len(fresh) - len(new)

    def close(self) -> None:
        self._engine.dispose()


@contextmanager
def _ledger(settings: Settings, *, dry: bool) -> Iterator[Ledger | Look]:
    with closing(Look(settings) if dry else Ledger(settings)) as ledger:
        yield ledger


class _Import:
    def __init__(self, file: File, wish: Wish, ledger: Ledger | Look) -> None:
        self._file = file
        self._wish = wish
        self._ledger = ledger
        self._gateway = wish.gateway or GATEWAYS.get(file.kind, "codex-lb")
        self._summary = Summary(file.name, file.kind)
        self._listed = [_listed(row) for row in file.accounts if text(row, "id")]
        self._known = {account["id"] for account in self._listed}
        self._seen: Seen = Counter()

    def run(self, bar: TextIO | None) -> Summary:
        """All of it. Raises: ImportFailed, StoreError."""
        self._ledger.take((), self._listed, self._seen)
        for page in self._file.pages():
            self._take(page)
            if bar is not None:
                bar.write(drawn(self._file.name, page.done, self._file.size))
                bar.flush()
        if bar is not None:
            bar.write("\r\x1b[K")
        return self._summary

    def _take(self, page: Page) -> None:
        events: dict[str, RequestEvent] = {}
        accounts: dict[str, Mapping[str, Any]] = {}
        for row in page.rows:
            event = self._decoded(row)
            if event is None or row is None:
                continue
            self._summary.known += event.id in events  # the same line twice
            events[event.id] = event
            if event.account_id not in self._known:
                accounts[event.account_id] = _mentioned(event, row)
        new, here = self._ledger.take(list(events.values()), list(accounts.values()), self._seen)
        self._known |= accounts.keys()
        self._summary.new += new
        self._summary.collected += here
        self._summary.known += len(events) - new - here

    def _decoded(self, row: Mapping[str, Any] | None) -> RequestEvent | None:
        try:
            if row is None or self._file.kind is None:
                raise Undecodable("no JSON object")
            event = DECODERS[self._file.kind](row, self._gateway)
        except Undecodable as error:
            self._summary.problems[str(error)] += 1
            return None
        except Exception as error:  # a shape nobody thought of: it must not hold up the others
            self._summary.problems[f"{type(error).__name__} while decoding"] += 1
            return None
        late = self._wish.until is not None and event is not None and event.requested_at >= self._wish.until
        if event is None or late or self._ledger.forgotten.may_be_counted(event):
            self._summary.left_out += 1
            return None
        return event


def _listed(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """An account as another ledger describes it: without a credential, so the proxy never routes to it."""
    status = (text(row, "status") or "active").casefold()
    now = datetime.now(UTC)
    return {
        "id": (text(row, "id") or "")[:200],
        "email": (text(row, "email") or "")[:320],
        "alias": (text(row, "alias") or "")[:200] or None,
        "plan_type": (text(row, "plan_type") or "unknown").casefold()[:40],
        "status": status if status in _STATUSES else "active",
        "created_at": now,
        "origin": "import",
        "delete_requested_at": now if row.get("delete_requested_at") is not None else None,
    }


def _mentioned(event: RequestEvent, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """An account that no list shows; a gateway's belongs to the collector, which may learn more of it."""
    snapshot = text(row, "account_snapshot") or ""
    return {
        "id": event.account_id,
        "email": snapshot[:320] if "@" in snapshot else "",
        "alias": (text(row, "auth_file_snapshot") or "")[:200] or None,
        "created_at": datetime.now(UTC),
        "origin": ORIGIN if event.gateway else "import",
    }


def drawn(name: str, done: int, size: int) -> str:
    share = min(1.0, done / size) if size else 1.0
    full = round(share * WIDTH)
    return f"\r\x1b[K{name}  [{'#' * full}{'.' * (WIDTH - full)}] {share:4.0%}"
