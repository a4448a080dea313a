"""What providers answered to requests that failed, as they wrote it: kept only where the configuration says
so, in a table of its own and for a time of its own. Pages, exports, metrics and logs never read it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from ledger.request_tables import failure_bodies, request_logs
from ledger.values import RequestEvent


@dataclass(frozen=True, slots=True)
class FailureBody:
    """One of them, and the request it answers. `body` is None where none is kept."""

    id: int
    requested_at: datetime
    model: str | None
    account_id: str | None
    http_status: int | None
    error_code: str | None
    body: str | None


def store(connection: Connection, events: Iterable[RequestEvent]) -> None:
    """Keep the bodies that these events bring."""
    rows = [
        {"event_id": event.id, "at": event.requested_at, "body": event.failure_body}
        for event in events
        if event.failure_body
    ]
    if rows:
        connection.execute(insert(failure_bodies), rows)


def prune(connection: Connection, before: datetime) -> int:
    """Forget those of older requests; returns how many."""
    return connection.execute(delete(failure_bodies).where(failure_bodies.c.at < before)).rowcount


def of_request(connection: Connection, name: str) -> Sequence[FailureBody]:
    """Of the request that a page numbers so, or of all attempts that share this request id."""
    log = request_logs.c
    wanted = [log.request_id == name]
    if name.isascii() and name.isdecimal() and len(name) < 19:
        wanted.append(log.id == int(name))
    query = select(
        log.id,
        log.requested_at,
        log.model,
        log.account_id,
        log.http_status,
        log.error_code,
        failure_bodies.c.body,
    ).select_from(request_logs.outerjoin(failure_bodies, failure_bodies.c.event_id == log.event_id))
    for condition in reversed(wanted):
        if found := connection.execute(query.where(condition).order_by(log.id)).all():
            return [FailureBody(*row) for row in found]
    return ()


def is_kept(connection: Connection, id: int) -> bool:
    """Whether there is one of a request: all that a page may know of it."""
    query = select(failure_bodies.c.event_id).join(
        request_logs, request_logs.c.event_id == failure_bodies.c.event_id
    )
    return connection.execute(query.where(request_logs.c.id == id)).first() is not None
