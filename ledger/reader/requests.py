"""Reading `request_logs` by id, in short statements: rows, and what is remembered of a page of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from ledger.reader.foreign import (
    OWN,
    Stored,
    columns,
    indexes,
    or_null,
    own_rows,
    stamp,
    time_or_null,
)
from ledger.state import exists

STEP_ROWS = 10_000
"""Entries of an index, or rows, looked at in one statement: some milliseconds."""

MAX_SUMMED = 10**12
"""Counts above this are left out of a digest: their sum could be more than a database's integers hold."""

SECOND = 1_000_000
"""Microseconds."""

NEVER = 253_370_764_800_000_000
"""The year 9999: no request ends later, but a time that is none may sort after it."""

Digest = tuple[int, ...]
"""Number, ids, token counts and successes of rows, each summed up: what changes when a row is deleted,
hidden or completed."""

_TIERS = ("actual_service_tier", "service_tier", "requested_service_tier")
_COUNTS = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")
_OTHERS = ("audio_input_tokens", "audio_output_tokens", "image_input_tokens", "image_output_tokens")
_REQUEST = (*_COUNTS, "status", "request_kind", "cost_usd", "deleted_at")
_MORE = ("provider", "cache_write_tokens", "cache_write_1h_tokens", "extra_units")

_READ = ("id", "account_id", "requested_at", "model", "billed_tier", *_REQUEST, *_MORE, "others")
"""What stands where in a row of `RequestRows.page`: so many are read that they stay plain tuples."""
_ID, _STATUS, _DELETED_AT = map(_READ.index, ("id", "status", "deleted_at"))

_DIGESTED = (
    f"(SELECT r.id, {', '.join(f'r.{name}' for name in _COUNTS)}, k.status, r.deleted_at"  # noqa: S608
    " FROM request_rows AS r LEFT JOIN request_kinds AS k ON k.id = r.kind_id) AS request_logs"
)
"""What a digest looks at, without the texts of our own ledger that the view would look up for each row."""


class RequestRows:
    """Reads `request_logs` by id. One object serves one scrape: the next may find other columns."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        have = columns(connection, "request_logs")
        tiers = "".join(f"nullif({name}, ''), " for name in _TIERS if name in have)
        if "requested_service_tier" in have:
            tiers = f"CASE WHEN {_login(have)} THEN nullif(requested_service_tier, '') END, {tiers}"
        parts = [
            f"id, account_id, {time_or_null(connection, 'requested_at')}, model",
            f"coalesce({tiers}NULL, NULL)",
            *(or_null(name, have) for name in (*_REQUEST, *_MORE)),
            _joined(_OTHERS, have),
        ]
        sums = ", ".join(_summed(or_null(name, have, "bigint")) for name in _COUNTS)
        self._select = f"SELECT {', '.join(parts)} FROM request_logs WHERE"  # noqa: S608
        self._digest = (
            f"SELECT count(*), coalesce(sum(id), 0), {sums},"  # noqa: S608
            " coalesce(sum(CASE WHEN lower(status) = 'success' THEN 1 ELSE 0 END), 0)"
            f" FROM {_DIGESTED if own_rows(connection) == OWN else 'request_logs'}"
            f" WHERE coalesce({or_null('deleted_at', have)}, NULL) IS NULL"
            " AND id >= :low AND id < :high"  # coalesce: else SQLite goes by an index of what is not deleted
        )

    def last_id(self) -> int:
        """The highest id; 0 in an empty table."""
        table = own_rows(self._connection)
        return int(self._connection.execute(text(f"SELECT max(id) FROM {table}")).scalar() or 0)  # noqa: S608

    def page(self, low: int, high: int | None, most: int) -> Sequence[Stored]:
        """Rows of the ids [low, high), at most so many: id, account_id, requested_at as stored, model,
        billed tier, the four counts, status, request_kind, cost_usd, deleted_at, provider, the two of
        cache writes, units, and the four of audio and images with commas between. The deleted ones are among
        them: to leave them out, the database may have to look at any number of rows."""
        until = "" if high is None else "AND id < :high"
        query = text(f"{self._select} id >= :low {until} ORDER BY id LIMIT :most")
        return self._connection.execute(query, {"low": low, "high": high, "most": most}).fetchall()

    def digest(self, low: int, high: int | None) -> Digest:
        """The digest of the rows of the ids [low, high), summed up by the database: much cheaper than to
        fetch them."""
        found = self._connection.execute(text(self._digest), {"low": low, "high": high}).one()
        return tuple(int(value) for value in found)


def _login(have: frozenset[str]) -> str:
    """Whether a ChatGPT login made a request: the answer never says its tier, so the requested one decides.
    The accounts of a codex-lb are logins; what it sends elsewhere has a source of its own."""
    if "login" in have:
        return "login"
    return "account_id IS NOT NULL" + (" AND model_source_id IS NULL" if "model_source_id" in have else "")


def _joined(names: Sequence[str], have: frozenset[str]) -> str:
    """Counts as one text; NULL where there is none of them, as in nearly all rows: a value less to fetch
    each."""
    if not have.issuperset(names):
        return "NULL"
    text = " || ',' || ".join(f"coalesce({name}, 0)" for name in names)
    return f"CASE WHEN coalesce({', '.join(names)}) IS NOT NULL THEN {text} END"


def _summed(count: str) -> str:
    return f"coalesce(sum(CASE WHEN {count} BETWEEN 0 AND {MAX_SUMMED} THEN {count} ELSE 0 END), 0)"


def is_deleted(row: Stored) -> bool:
    """Whether a row of RequestRows.page is marked as deleted."""
    return row[_DELETED_AT] is not None


def digest_of(rows: Iterable[Stored]) -> Digest:
    """The digest of rows of RequestRows.page."""
    kept = [row for row in rows if not is_deleted(row)]
    ids = sum(row[_ID] for row in kept)
    sums = [_sum([row[place] for row in kept]) for place in map(_READ.index, _COUNTS)]
    successes = sum(str(row[_STATUS]).casefold() == "success" for row in kept)
    return len(kept), int(ids), *map(int, sums), successes


def _sum(counts: Sequence[Any]) -> Any:
    """What counts add to a digest, as the database has it."""
    found = [count for count in counts if count]
    if found and {int}.issuperset(map(type, found)) and min(found) >= 0 and max(found) <= MAX_SUMMED:
        return sum(found)
    return sum(map(_counted, found))


def _counted(count: Any) -> Any:
    is_number = type(count) is int or isinstance(count, (float, Decimal))
    return count if is_number and 0 <= count <= MAX_SUMMED else 0


def first_id(connection: Connection, since: int) -> int | None:
    """The lowest id of the rows that ended at or after a moment (microseconds since 1970), or of a second
    before it; None where there is none.

    Which index is there depends on the age of the store; without any, the rows are gone through by id.
    """
    after = stamp(connection, since - SECOND)
    if own_rows(connection) == OWN:
        return min(_by_moment(connection, since - SECOND), default=None)
    have = frozenset() if exists(connection, OWN) else indexes(connection, "request_logs")
    if any(index[:1] == ("requested_at",) for index in have):
        found = _by_time(connection, after)
    elif any(index[:2] == ("account_id", "requested_at") for index in have):
        found = (id for account in _accounts(connection) for id in _by_time(connection, after, account))
    else:
        found = _by_id(connection, after)
    return min(found, default=None)


def _by_time(connection: Connection, after: Any, account: Stored = ()) -> Iterator[int]:
    """The lowest id of each stretch of an index. Of rows of the same time it has the lowest id first, so
    what a stretch leaves of them for the next one can be passed over."""
    which, values = _which(account)
    step = text(
        "SELECT min(id), max(requested_at) FROM (SELECT id, requested_at FROM request_logs"  # noqa: S608
        f" WHERE {which} requested_at > :after AND requested_at < :never"
        f" ORDER BY requested_at, id LIMIT {STEP_ROWS}) AS step"
    )
    never = stamp(connection, NEVER)
    while True:
        lowest, after = connection.execute(step, {**values, "after": after, "never": never}).one()
        if lowest is None:
            return
        yield int(lowest)


def _by_moment(connection: Connection, after: int) -> Iterator[int]:
    """The lowest id of each stretch of the index by time of our own ledger."""
    step = text(
        "SELECT min(id), max(at) FROM (SELECT id, at FROM request_rows WHERE at > :after"  # noqa: S608
        f" ORDER BY at, id LIMIT {STEP_ROWS}) AS step"
    )
    last: int | None = after
    while last is not None:
        lowest, last = connection.execute(step, {"after": last}).one()
        if lowest is not None:
            yield int(lowest)


def _which(account: Stored) -> tuple[str, dict[str, Any]]:
    """The condition for the rows of one account, for those of nobody, or for all where none is given."""
    if not account:
        return "", {}
    return (
        ("account_id IS NULL AND", {}) if account[0] is None else ("account_id = :a AND", {"a": account[0]})
    )


def _accounts(connection: Connection) -> Iterator[Stored]:
    """Every account that has a row, and nobody; a look into the index for each."""
    yield (None,)
    first = text("SELECT min(account_id) FROM request_logs")
    following = text("SELECT min(account_id) FROM request_logs WHERE account_id > :last")
    last = connection.execute(first).scalar()
    while last is not None:
        yield (last,)
        last = connection.execute(following, {"last": last}).scalar()


def _by_id(connection: Connection, after: Any) -> Iterator[int]:
    """The lowest id, found by going through the rows from the first one on."""
    step = text(
        "SELECT min(CASE WHEN requested_at > :after THEN id END), max(id)"  # noqa: S608
        " FROM (SELECT id, requested_at FROM request_logs WHERE id > :last"
        f" ORDER BY id LIMIT {STEP_ROWS}) AS step"
    )
    last = connection.execute(text("SELECT min(id) - 1 FROM request_logs")).scalar()
    while last is not None:
        lowest, last = connection.execute(step, {"after": after, "last": last}).one()
        if lowest is not None:
            yield int(lowest)
            return


Kept = tuple[int, int, int, int]
"""id, number of the account, time, cost."""


@dataclass(slots=True)
class Page:
    """Rows of the ids [low, high); high is None in the last page, which grows.

    Attributes:
        digest: of the rows as they were read.
        columns: of the rows that were young enough to keep: id, account, time, cost.
        unreadable: ids of the rows that could not be understood.
    """

    low: int
    high: int | None = None
    digest: Digest = ()
    columns: tuple[array[int], ...] = field(default_factory=lambda: tuple(array("q") for _ in range(4)))
    unreadable: tuple[int, ...] = ()

    def kept(self) -> set[Kept]:
        return set(zip(*self.columns, strict=True))

    def keep(self, rows: set[Kept]) -> None:
        """Remember these rows in place of what was."""
        parts = zip(*rows, strict=True) if rows else ((),) * 4
        self.columns = tuple(array("q", part) for part in parts)

    def newest(self) -> int:
        """When the newest of them ended; 0 where there is none."""
        return max(self.columns[2], default=0)

    def is_as_read(self, digest: Digest) -> bool:
        """Whether the rows are those that were read. A row that was not understood may have been mended,
        and a digest does not tell."""
        return digest == self.digest and not self.unreadable


def marks(pages: Sequence[Page]) -> set[tuple[int, int, int]]:
    """What the rows of some pages are known again by: id, account and time."""
    return {row for page in pages for row in zip(*page.columns[:3], strict=True)}
