"""Writing: request events with their daily sums, in one transaction, and the price table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from ledger.pricing.counts import counts_of, is_metered, sensible
from ledger.requests.queries import LONG_CONTEXT_ABOVE
from ledger.schema import accounts, daily_stats, request_logs, usage_history
from ledger.values import UNKNOWN_MODEL, RequestEvent, UsageSample

NEAR = timedelta(seconds=5)
"""Samples that are closer than this and say the same are one."""

RESET_WOBBLE = 60
"""Seconds by which a provider's reset times differ without meaning it."""

_DAY_KEY = ("day", "model", "service_tier", "long_context")
_DAY_SUMS = (
    "requests",
    "errors",
    "cancelled",
    "successes",
    "metered",
    "unmetered_successes",
    "input_tokens",
    "cached_input_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
)
_LOG_COLUMNS = (
    "event_id",
    "account_id",
    "api_key_id",
    "request_id",
    "upstream_request_id",
    "requested_at",
    "model",
    "api",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "reasoning_tokens",
    "reasoning_effort",
    "service_tier",
    "latency_ms",
    "latency_first_token_ms",
    "status",
    "http_status",
    "error_code",
    "error_message",
    "end_reason",
    "session_id",
    "user_agent",
    "request_kind",
    "instance_id",
    "source",
    "gateway",
    "provider",
    "requested_model",
    "requested_service_tier",
    "project",
    "trace_id",
    "response_id",
    "auth_index",
    "route",
    "error_class",
    "provider_cost_usd",
    "login",
    "streamed",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "extra_units",
)
_INSERT_LOG = str(insert(request_logs).compile(dialect=sqlite.dialect(), column_keys=list(_LOG_COLUMNS)))


def record(connection: Connection, events: Sequence[RequestEvent], *, again: bool = False) -> None:
    """Store events and add them to their days: all of them or, with the caller's transaction, none.

    Args:
        again: an earlier try may have been committed without our knowing; what is there is left out.
    """
    if again:
        events = _missing(connection, events)
    if not events:
        return
    if connection.dialect.name == "sqlite":  # a third of the time that typed parameters take
        connection.exec_driver_sql(_INSERT_LOG, [_sqlite_row(event) for event in events])
    else:
        rows = [
            dict(zip(_LOG_COLUMNS, _log_row(e, e.requested_at, e.provider_cost_usd), strict=True))
            for e in events
        ]
        connection.execute(insert(request_logs), rows)
    _add_days(connection, day_rows(events))


def _missing(connection: Connection, events: Sequence[RequestEvent]) -> list[RequestEvent]:
    ids = request_logs.c.event_id
    stored: set[str] = set()
    for start in range(0, len(events), 500):  # SQLite bounds the number of parameters
        wanted = [e.id for e in events[start : start + 500]]
        stored |= set(connection.execute(select(ids).where(ids.in_(wanted))).scalars())
    return [e for e in events if e.id not in stored]


def day_rows(events: Iterable[RequestEvent]) -> list[dict[str, Any]]:
    """The rows by which a batch of events raises `daily_stats`; a key may stand in several of them."""
    days: dict[tuple[Any, ...], list[int]] = {}
    for event in events:
        usage = event.usage
        key = (
            event.requested_at.date(),
            event.model,
            event.billed_tier,
            (usage.input_tokens or 0) > LONG_CONTEXT_ABOVE,
        )
        sums = days.get(key)
        if sums is None:
            sums = days[key] = [0] * len(_DAY_SUMS)
        _add(sums, event)
    return [
        {
            "day": day.isoformat(),
            "model": _cut(model, 200) or UNKNOWN_MODEL,
            "service_tier": _cut(tier, 40) or "",
            "long_context": long_context,
            **dict(zip(_DAY_SUMS, sums, strict=True)),
        }
        for (day, model, tier, long_context), sums in days.items()
    ]


def _add(sums: list[int], event: RequestEvent) -> None:
    """Add one event to the columns of `_DAY_SUMS`, in their order."""
    sums[0] += 1
    sums[1] += event.status == "error"
    sums[2] += event.status == "cancelled"
    sums[3] += event.status == "success"
    if not is_metered(event.usage, event.extra_units):
        sums[5] += event.status == "success" and event.billable
        return
    counts = counts_of(event.usage, event.extra_units)
    sums[4] += 1
    sums[6] += counts.input
    sums[7] += counts.cached_input
    sums[8] += counts.output
    sums[9] += event.usage.reasoning_tokens or 0
    sums[10] += counts.cache_write
    sums[11] += counts.cache_write_1h


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
    connection.execute(_insert(connection, accounts).values(**columns).on_conflict_do_nothing())


def _insert(connection: Connection, table: Any) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def _add_days(connection: Connection, rows: list[dict[str, Any]]) -> None:
    statement = _insert(connection, daily_stats)
    statement = statement.on_conflict_do_update(
        index_elements=list(_DAY_KEY),
        set_={name: daily_stats.c[name] + statement.excluded[name] for name in _DAY_SUMS},
    )
    connection.execute(statement, rows)


def _stamp(moment: datetime) -> str:
    """A moment as SQLite stores it; what `UtcDateTime` would make of it."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def _sqlite_row(event: RequestEvent) -> tuple[Any, ...]:
    cost = event.provider_cost_usd
    return _log_row(event, _stamp(event.requested_at), None if cost is None else str(cost))


def _log_row(
    event: RequestEvent, requested_at: datetime | str, provider_cost_usd: Decimal | str | None
) -> tuple[Any, ...]:
    """The values of `_LOG_COLUMNS`, in their order."""
    usage = event.usage
    return (
        event.id,
        _cut(event.account_id, 200),
        _cut(event.api_key_id, 40),
        _cut(event.request_id, 200),
        _cut(event.upstream_request_id, 200),
        requested_at,
        _cut(event.model, 200) or UNKNOWN_MODEL,
        event.api,
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_input_tokens,
        usage.reasoning_tokens,
        _cut(event.reasoning_effort, 40),
        _cut(event.service_tier, 40),
        event.latency_ms,
        event.latency_first_token_ms,
        event.status,
        event.http_status,
        _cut(event.error_code, 100),
        _cut(event.error_message, 1000),
        event.end_reason,
        _cut(event.session_id, 200),
        _cut(event.user_agent, 200),
        "normal" if event.billable else "read",
        _cut(event.instance_id, 200),
        event.source,
        _cut(event.gateway, 200),
        _cut(event.provider, 40),
        _cut(event.requested_model, 200),
        _cut(event.requested_service_tier, 40),
        _cut(event.project, 200),
        _cut(event.trace_id, 200),
        _cut(event.response_id, 200),
        _cut(event.auth_index, 200),
        _cut(event.route, 200),
        _cut(event.error_class, 40),
        provider_cost_usd,
        event.login,
        event.streamed,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.audio_input_tokens,
        usage.audio_output_tokens,
        usage.image_input_tokens,
        usage.image_output_tokens,
        _units(event.extra_units),
    )


def _units(units: Mapping[str, Decimal] | None) -> str | None:
    """A JSON object whose numbers are those of the Decimals, digit by digit; what is no count is left out."""
    found = {name: number for name, number in sorted((units or {}).items()) if sensible(number)}
    return "{" + ", ".join(f"{json.dumps(name)}: {n:f}" for name, n in found.items()) + "}" if found else None


def _cut(text: str | None, most: int) -> str | None:
    """Text as every store takes it: bounded, valid UTF-8, without NUL. Callers choose these words."""
    if text is None or (len(text) <= most and text.isascii() and "\0" not in text):
        return text
    return text[:most].encode("utf-8", "replace").decode("utf-8").replace("\0", "")
