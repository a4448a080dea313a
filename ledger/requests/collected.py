"""Requests that came by two ways: from a gateway itself, and from what another program stored of the same
gateway. Those of a collector have other ids than those of an import, so they are known by what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    func,
    literal_column,
    or_,
    select,
    type_coerce,
    update,
)

from ledger.columns import micros
from ledger.request_tables import (
    request_callers,
    request_hourly,
    request_kinds,
    request_logs,
    request_rows,
)
from ledger.requests.sums.horizons import HOURLY, REQUESTS, horizon
from ledger.requests.sums.rollups import HOUR
from ledger.values import UNKNOWN_MODEL, RequestEvent

Key = tuple[int, int, str, int | None, int]
"""The millisecond in which a request ended, how many it took, model, HTTP status, output tokens: others store
no finer time, and not all counts alike."""

Seen = Counter[Key]
"""How many collected requests were found again: each is one request, however alike they are."""

APART = timedelta(minutes=1)
SLACK = timedelta(milliseconds=2)
COLLECTED = "c-"
"""How the ids of collected events begin, and no others."""


def without(connection: Connection, events: Sequence[RequestEvent], seen: Seen) -> list[RequestEvent]:
    """Those imported events that no collector has received; the others are added to `seen`."""
    log = request_logs.c
    came = or_(log.source == "collector", log.source == "import")
    here = Counter(key for key, _, id in _stored(connection, events, came) if id.startswith(COLLECTED))
    twice: set[str] = set()
    for event in events:
        if event.gateway is not None and seen[key := _key_of(event)] < here[key]:
            seen[key] += 1
            twice.add(event.id)
    return [event for event in events if event.id not in twice]


def adopted(connection: Connection, events: Sequence[RequestEvent]) -> list[RequestEvent]:
    """Those collected events that were imported before, of events that are not stored by their ids.

    The row of each gets the event's id: it stands for that one alone from then on, and is known when the
    event is decoded, or the file is imported, once more.
    """
    of_gateways = and_(request_callers.c.source == "import", request_callers.c.gateway.is_not(None))
    callers = connection.execute(select(request_callers.c.id).where(of_gateways)).scalars().all()
    if not callers:
        return []
    rows: dict[Key, list[int]] = {}
    for key, number, id in _stored(connection, events, request_logs.c.caller_id.in_(callers)):
        if not id.startswith(COLLECTED):
            rows.setdefault(key, []).append(number)
    found = {event.id: alike.pop(0) for event in events if (alike := rows.get(_key_of(event)))}
    for id, number in found.items():
        connection.execute(update(request_rows).where(request_rows.c.id == number).values(event_id=id))
    return [event for event in events if event.id in found]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What came from elsewhere and is there in sums alone: retention has taken the rows, by which a request
    is known when it comes again.

    Attributes:
        requests, hours: since 1970, before which there are no rows, and no sums by hour either.
        counted: hour, account, gateway and model of the sums that there are.
    """

    requests: int = 0
    hours: int = 0
    counted: frozenset[tuple[int, str | None, str | None, str]] = frozenset()

    def is_counted(self, event: RequestEvent) -> bool:
        """Whether a request was counted, as far as sums can tell: with all others of its hour."""
        hour = micros(event.requested_at) // HOUR
        if hour >= self.requests:
            return False
        return (hour, event.account_id, event.gateway, event.model or UNKNOWN_MODEL) in self.counted

    def may_be_counted(self, event: RequestEvent) -> bool:
        """Whether nobody can tell any more."""
        return micros(event.requested_at) // HOUR < self.hours


def forgotten(connection: Connection) -> Forgotten:
    """As it is now: before anything is imported, which would be taken for counted."""
    requests, hours = (horizon(connection, name) or 0 for name in (REQUESTS, HOURLY))
    if not requests:
        return Forgotten(0, hours)
    t, row, by, what = request_hourly.c, request_rows.c, request_callers.c, request_kinds.c
    mine = by.source.in_(("import", "collector"))
    hour: ColumnElement[int] = literal_column(f"request_rows.at / {HOUR}")
    left = (
        select(hour, row.caller_id, row.kind_id, func.count())
        .join(request_callers, by.id == row.caller_id)
        .where(type_coerce(row.at, BigInteger) < requests * HOUR, row.deleted_at.is_(None), mine)
        .group_by(hour, row.caller_id, row.kind_id)
    )
    there = {(hour, *kind): number for hour, *kind, number in connection.execute(left)}
    sums = (
        select(t.hour, t.caller_id, t.kind_id, t.requests, by.account_id, by.gateway, what.model)
        .join_from(request_hourly, request_callers, by.id == t.caller_id)
        .join(request_kinds, what.id == t.kind_id)
        .where(t.hour < requests, mine)
    )
    found = connection.execute(sums)
    counted = ((h, *said) for h, caller, kind, n, *said in found if n > there.get((h, caller, kind), 0))
    return Forgotten(requests, hours, frozenset(counted))


def _stored(
    connection: Connection, events: Sequence[RequestEvent], which: ColumnElement[bool]
) -> Iterator[tuple[Key, int, str]]:
    """The rows of the times in which those events ended: what they say, their numbers and ids."""
    row = request_logs.c
    for since, until in _intervals(sorted(e.requested_at for e in events if e.gateway is not None)):
        ended = row.requested_at.between(since - SLACK, until + SLACK)
        columns = (row.requested_at, row.latency_ms, row.model, row.http_status, row.output_tokens)
        found = select(row.id, row.event_id, *columns).where(ended, which, row.deleted_at.is_(None))
        for number, id, *said in connection.execute(found.order_by(row.id)):
            yield _key(*said), number, id


def _intervals(moments: Sequence[datetime]) -> Iterator[tuple[datetime, datetime]]:
    """Moments in their order as times from and to, without long ones in which there is none."""
    begin = end = None
    for at in moments:
        if begin is None or end is None:
            begin = at
        elif at - end > APART:
            yield begin, end
            begin = at
        end = at
    if begin is not None and end is not None:
        yield begin, end


def _key_of(event: RequestEvent) -> Key:
    output = event.usage.output_tokens
    return _key(event.requested_at, event.latency_ms, event.model, event.http_status, output)


def _key(
    ended: datetime, latency_ms: float | None, model: str | None, http_status: int | None, output: int | None
) -> Key:
    return micros(ended) // 1_000, round(latency_ms or 0.0), model or UNKNOWN_MODEL, http_status, output or 0
