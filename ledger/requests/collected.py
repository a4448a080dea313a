"""Requests that came by two ways: from a gateway itself, and from what another program stored of the same
gateway. Those of a collector have other ids than those of an import, so they are known by what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, or_, select, update

from ledger.columns import micros
from ledger.request_tables import request_callers, request_logs, request_rows
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
