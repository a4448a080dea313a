"""Writing: request events with all their sums, in one transaction, and quota samples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import asdict, replace
from sqlalchemy import ARRAY, Connection, String, any_, bindparam, insert, literal, select, update
from sqlalchemy.exc import DBAPIError

from ledger.columns import micros, packed
from ledger.pricing.steps import context_step
from ledger.requests import failure_bodies
from ledger.requests.dictionaries import CALLERS, DETAILS, KINDS, SESSIONS, cut, units_text
from ledger.requests.sums import rollups
from ledger.requests.sums.rollups import Entry
from ledger.schema import accounts, request_rows, usage_history
from ledger.store import insert_into
from ledger.values import UNKNOWN_MODEL, RequestEvent, Usage, UsageSample

NEAR = timedelta(seconds=5)
"""Samples that are closer than this and say the same are one."""

RESET_WOBBLE = 60
"""Seconds by which a provider's reset times differ without meaning it."""

_COUNTS = Usage.__struct_fields__
_ROW = (
    "event_id",
    "at",
    "caller_id",
    "kind_id",
    "detail_id",
    "session_number",
    "request_id",
    "upstream_request_id",
    "trace_id",
    "response_id",
    *_COUNTS,
    "latency_ms",
    "latency_first_token_ms",
    "error_message",
    "provider_cost_usd",
    "extra_units",
)
_SUMMED_BY = (("provider", 40), ("model", 200), ("service_tier", 40), ("requested_service_tier", 40))
_ROW_AS = (*_ROW, "id", "deleted_at")


def _insertion(columns: Sequence[str]) -> str:
    marks = ", ".join("?" for _ in columns)
    return f"INSERT INTO request_rows ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608


def record(connection: Connection, events: Sequence[RequestEvent], *, again: bool = False) -> None:
    """Store events and add them to all sums: all of them or, with the caller's transaction, none.

    Args:
        again: an earlier try may have been committed without our knowing; what is there is left out.
    """
    if again:
        events = missing(connection, events)
    if events:
        rollups.add(connection, insert_rows(connection, list(map(_clean, events))))
        failure_bodies.store(connection, events)


def insert_rows(
    connection: Connection,
    events: Sequence[RequestEvent],
    places: Sequence[tuple[int, datetime | None]] = (),
) -> list[Entry]:
    """Store the rows of events alone.

    Args:
        places: their ids, and when they were marked as deleted; without it they get new ids.
    """
    texts = [(caller_of(event), kind_of(event), detail_of(event)) for event in events]
    callers = CALLERS.numbers(connection, (caller for caller, _, _ in texts))
    kinds = KINDS.numbers(connection, (kind for _, kind, _ in texts))
    details = DETAILS.numbers(connection, (detail for _, _, detail in texts))
    talks = {(e.session_id,) for e in events if e.session_id}
    sessions = SESSIONS.numbers(connection, talks)
    sqlite_file = connection.dialect.name == "sqlite"
    make = _sqlite_row if sqlite_file else _copied_row
    entries = [Entry(e, callers[by], kinds[what]) for e, (by, what, _) in zip(events, texts, strict=True)]
    rows: Iterator[tuple[Any, ...]] = (
        make(e, callers[by], kinds[what], details[how], sessions[(e.session_id,)] if e.session_id else None)
        for e, (by, what, how) in zip(events, texts, strict=True)
    )
    names = _ROW_AS if places else _ROW
    if places:
        rows = ((*row, id, _stamp(gone)) for row, (id, gone) in zip(rows, places, strict=True))
    if sqlite_file:  # a third of the time that typed parameters take
        connection.exec_driver_sql(_insertion(names), list(rows))
    else:  # the next rows are made while the server stores those before them
        _copy(connection, names, rows)
    if talks and (moved := SESSIONS.renumbered(connection, {talk: sessions[talk] for talk in talks})):
        number = request_rows.c.session_number  # no other row has an old one: their sessions had none left
        change = (
            update(request_rows).where(number == bindparam("old")).values(session_number=bindparam("new"))
        )
        connection.execute(change, [{"old": old, "new": new} for old, new in moved.items()])
    return entries


def _copy(connection: Connection, names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """PostgreSQL's own way for many rows. Raises: DBAPIError."""
    driver: Any = connection.connection.driver_connection
    refused = connection.dialect.loaded_dbapi.Error
    statement = f"COPY request_rows ({', '.join(names)}) FROM STDIN"
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except refused as error:
        raise DBAPIError.instance(statement, None, error, refused, dialect=connection.dialect) from error


def _clean(event: RequestEvent) -> RequestEvent:
    """With the texts that sums are kept apart by as the store takes them: a row and its sums say the same."""
    clean = {}
    for name, most in _SUMMED_BY:
        text = getattr(event, name)
        if text and (fit := cut(text, most)) != text:
            clean[name] = fit
    return replace(event, **clean) if clean else event


def missing(connection: Connection, events: Sequence[RequestEvent]) -> list[RequestEvent]:
    """Those events that are not stored yet, each of them once."""
    ids = request_rows.c.event_id
    stored: set[str] = set()
    sqlite_file = connection.dialect.name == "sqlite"  # it bounds the number of parameters
    at_once = 500 if sqlite_file else len(events)
    for start in range(0, len(events), at_once or 1):
        wanted = [e.id for e in events[start : start + at_once]]
        among = ids.in_(wanted) if sqlite_file else ids == any_(literal(wanted, ARRAY(String)))
        stored |= set(connection.execute(select(ids).where(among)).scalars())
    return [e for e in {e.id: e for e in events}.values() if e.id not in stored]


def caller_of(event: RequestEvent) -> tuple[Any, ...]:
    """The values of `request_callers`."""
    return (
        event.instance_id,
        event.source,
        event.gateway,
        event.account_id,
        event.api_key_id,
        event.project,
        event.auth_index,
    )


def kind_of(event: RequestEvent) -> tuple[Any, ...]:
    """The values of `request_kinds`."""
    return (
        event.provider,
        event.model or UNKNOWN_MODEL,
        event.requested_model,
        event.service_tier,
        event.requested_service_tier,
        event.login,
        event.api,
        event.status,
        event.http_status,
        event.error_class,
        event.error_code,
        event.streamed,
        context_step(event.usage.input_tokens),
    )


def detail_of(event: RequestEvent) -> tuple[Any, ...]:
    """The values of `request_details`."""
    kind = "normal" if event.billable else "read"
    return (event.user_agent, event.reasoning_effort, event.route, event.end_reason, kind)


def _row(event: RequestEvent, caller: int, kind: int, detail: int, session: int | None) -> tuple[Any, ...]:
    """The values of `_ROW`, in their order."""
    usage = event.usage
    return (
        event.id,
        event.requested_at,
        caller,
        kind,
        detail,
        session,
        cut(event.request_id, 200),
        cut(event.upstream_request_id, 200),
        cut(event.trace_id, 200),
        cut(event.response_id, 200),
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_input_tokens,
        usage.reasoning_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.audio_input_tokens,
        usage.audio_output_tokens,
        usage.image_input_tokens,
        usage.image_output_tokens,
        None if event.batched else event.latency_ms,
        event.latency_first_token_ms,
        cut(event.error_message, 4_096),
        event.provider_cost_usd,
        units_text(event.extra_units),
    )


def _stamp(moment: datetime | None) -> int | None:
    return None if moment is None else micros(moment)


def _copied_row(event: RequestEvent, *numbers: Any) -> tuple[Any, ...]:
    """The same, as PostgreSQL stores it."""
    id, at, *middle, cost, units = _row(event, *numbers)
    return (id, micros(at), *middle, None if cost is None else str(cost), units)


def _sqlite_row(event: RequestEvent, *numbers: Any) -> tuple[Any, ...]:
    """The same, as SQLite stores it."""
    id, at, *middle, cost, units = _row(event, *numbers)
    middle[4], middle[6] = packed(middle[4]), packed(middle[6])  # request_id, trace_id
    return (packed(id), micros(at), *middle, None if cost is None else str(cost), units)


def record_samples(connection: Connection, samples: Iterable[UsageSample]) -> None:
    """Store quota samples; one that repeats the account's last one within seconds is left out."""
    last: dict[tuple[str, str], Any] = {}
    fresh: list[UsageSample] = []
    for sample in samples:
        key = (sample.account_id, sample.window)
        if key not in last:
            last[key] = _last_sample(connection, *key)
        before = last[key]
        if before is None or not _repeats(sample, *before):
            fresh.append(sample)
            if before is None or sample.recorded_at >= before[0]:
                last[key] = (sample.recorded_at, sample.used_percent, sample.reset_at)
    if fresh:  # all reading is done: others can write until here
        connection.execute(insert(usage_history), [asdict(sample) for sample in fresh])


def _last_sample(connection: Connection, account_id: str, window: str) -> Any:
    table = usage_history.c
    row = connection.execute(
        select(table.recorded_at, table.used_percent, table.reset_at)
        .where(table.account_id == account_id, table.window == window)
        .order_by(table.recorded_at.desc())
        .limit(1)
    ).first()
    return row and tuple(row)


def _repeats(sample: UsageSample, recorded_at: datetime, used_percent: float, reset_at: int | None) -> bool:
    """Whether a sample says what was said a moment ago; resets wobble by seconds from answer to answer."""
    if abs(sample.recorded_at - recorded_at) >= NEAR or sample.used_percent != used_percent:
        return False
    if sample.reset_at is None or reset_at is None:
        return sample.reset_at == reset_at
    return abs(sample.reset_at - reset_at) <= RESET_WOBBLE


def ensure_account(connection: Connection, **columns: Any) -> None:
    """Add an account that is not there yet; one that is there stays as it is."""
    connection.execute(insert_into(connection, accounts).values(**columns).on_conflict_do_nothing())
