"""Conversations: the requests of one session together, the one with the newest request first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from ledger.pricing.prices import PriceBook
from ledger.requests.answers import Cursor, Totals
from ledger.requests.filter import RequestFilter, conditions
from ledger.requests.rows import beyond, newest_first
from ledger.requests.totals.summaries import by
from ledger.schema import request_logs

STEP = 2_000
"""Rows that are looked through in one statement for the sessions they belong to."""

CHUNK = 100
"""Conversations that are summed up in one question: as many as a filter may name."""

MAX_STEPS = 20
"""Statements for one page: where most requests have no session, it ends early and the next one goes on."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a filter means of one conversation.

    Attributes:
        began, ended: when its first and its last request ended.
        models, accounts, keys: that took part, by name.
    """

    id: str
    began: datetime
    ended: datetime
    models: tuple[str, ...]
    accounts: tuple[str, ...]
    keys: tuple[str, ...]
    totals: Totals


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Some of them, and where to go on; None at the end."""

    sessions: tuple[Session, ...]
    older: Cursor | None


def sessions(
    connection: Connection,
    where: RequestFilter,
    book: PriceBook,
    *,
    size: int = 50,
    older_than: Cursor | None = None,
) -> SessionPage:
    """A page of conversations."""
    place, seen, found, more = older_than, set[str](), list[Session](), True
    for _ in range(MAX_STEPS):
        rows = _newest(connection, where, place)
        more = len(rows) == STEP
        fresh = [name for name in dict.fromkeys(row.session_id for row in rows) if name not in seen]
        seen |= set(fresh)
        for start in range(0, len(fresh), CHUNK):
            some = _summed(connection, where, book, fresh[start : start + CHUNK])
            # One that has a newer request was on a page before
            found += [one for one in some if older_than is None or one.ended < older_than.moment]
            if len(found) > size:
                break
        if not more or len(found) > size:
            break
        place = Cursor.of(rows[-1].requested_at, rows[-1].id)
    cut = size
    while cut < len(found) and found[cut].ended == found[cut - 1].ended:  # nothing to tell them apart by
        cut += 1
    if cut < len(found):
        return SessionPage(tuple(found[:cut]), Cursor.of(found[cut - 1].ended, 0))
    return SessionPage(tuple(found), place if more else None)


def _newest(connection: Connection, where: RequestFilter, older_than: Cursor | None) -> Sequence[Any]:
    log = request_logs.c
    query = select(log.session_id, log.requested_at, log.id).where(
        *conditions(where), log.session_number.is_not(None)
    )
    if older_than is not None:
        query = query.where(beyond(older_than, newer=False))
    return connection.execute(query.order_by(*newest_first()).limit(STEP)).all()


def _summed(
    connection: Connection, where: RequestFilter, book: PriceBook, names: Sequence[str]
) -> list[Session]:
    """Conversations in the order of their names here."""
    mine = where.having("session_id", *names)
    sums = {group.value: group.totals for group in by(connection, mine, "session_id", book, top=CHUNK).groups}
    parts = _parts(connection, mine)
    return [_session(name, parts[name], sums.get(name, Totals())) for name in names if name in parts]


def _parts(connection: Connection, where: RequestFilter) -> dict[str, list[Any]]:
    log = request_logs.c
    who = (log.session_id, log.model, log.account_id, log.api_key_id)
    times = (func.min(log.requested_at).label("began"), func.max(log.requested_at).label("ended"))
    found: dict[str, list[Any]] = {}
    for row in connection.execute(select(*who, *times).where(*conditions(where)).group_by(*who)):
        found.setdefault(row.session_id, []).append(row)
    return found


def _session(name: str, parts: Iterable[Any], totals: Totals) -> Session:
    parts = list(parts)
    return Session(
        name,
        min(part.began for part in parts),
        max(part.ended for part in parts),
        _names(part.model for part in parts),
        _names(part.account_id for part in parts),
        _names(part.api_key_id for part in parts),
        totals,
    )


def _names(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(sorted({value for value in values if value}))
