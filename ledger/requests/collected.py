"""Requests that came by two ways: from a gateway itself, and from what another program stored of the same
gateway. Those of a collector have other ids than those of an import, so they are known by what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from ledger.columns import micros
from ledger.request_tables import request_logs
from ledger.values import RequestEvent

Key = tuple[int, int, str | None, int | None, int]
"""The millisecond in which a request ended, how many it took, model, HTTP status, output tokens: others store
no finer time, and not all counts alike."""

Seen = Counter[Key]
"""How many collected requests were found again: each is one request, however alike they are."""

APART = timedelta(minutes=1)
SLACK = timedelta(milliseconds=2)


def without(connection: Connection, events: Sequence[RequestEvent], seen: Seen) -> list[RequestEvent]:
    """Those events that no collector has stored; the others are added to `seen`."""
    of_gateways = sorted((e for e in events if e.gateway is not None), key=lambda e: e.requested_at)
    here = Counter[Key]()
    for since, until in _stretches(of_gateways):
        here.update(_stored(connection, since, until))
    twice: set[str] = set()
    for event in of_gateways:
        key = _key(
            event.requested_at, event.latency_ms, event.model, event.http_status, event.usage.output_tokens
        )
        if seen[key] < here[key]:
            seen[key] += 1
            twice.add(event.id)
    return [event for event in events if event.id not in twice]


def _stretches(events: Sequence[RequestEvent]) -> Iterator[tuple[datetime, datetime]]:
    """The times in which they ended, without long ones between them."""
    begin = end = None
    for event in events:
        at = event.requested_at
        if begin is None or end is None:
            begin = end = at
        elif at - end > APART:
            yield begin, end
            begin = end = at
        end = at
    if begin is not None and end is not None:
        yield begin, end


def _stored(connection: Connection, since: datetime, until: datetime) -> Iterator[Key]:
    row = request_logs.c
    found = connection.execute(
        select(row.requested_at, row.latency_ms, row.model, row.http_status, row.output_tokens).where(
            row.requested_at >= since - SLACK,
            row.requested_at <= until + SLACK,
            row.source == "collector",
            row.deleted_at.is_(None),
        )
    )
    return (_key(*stored) for stored in found)


def _key(
    ended: datetime, latency_ms: float | None, model: str | None, http_status: int | None, output: int | None
) -> Key:
    return micros(ended) // 1_000, round(latency_ms or 0.0), model, http_status, output or 0
