"""Writing: request events with their daily sums, in one transaction, and the price table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from ledger.prices import LONG_CONTEXT_ABOVE, Price
from ledger.schema import accounts, daily_stats, prices, request_logs
from ledger.values import UNKNOWN_MODEL, RequestEvent

_DAY_KEY = ("day", "model", "service_tier", "long_context")
_DAY_SUMS = tuple(c.name for c in daily_stats.columns if c.name not in _DAY_KEY)


def record(connection: Connection, events: Sequence[RequestEvent], *, again: bool = False) -> None:
    """Store events and add them to their days: all of them or, with the caller's transaction, none.

    Args:
        again: an earlier try may have been committed without our knowing; what is there is left out.
    """
    if again:
        events = _missing(connection, events)
    if not events:
        return
    connection.execute(insert(request_logs), [_log_row(e) for e in events])
    _add_days(connection, day_rows(events))


def _missing(connection: Connection, events: Sequence[RequestEvent]) -> list[RequestEvent]:
    ids = request_logs.c.event_id
    stored: set[str] = set()
    for start in range(0, len(events), 500):  # SQLite bounds the number of parameters
        wanted = [e.id for e in events[start : start + 500]]
        stored |= set(connection.execute(select(ids).where(ids.in_(wanted))).scalars())
    return [e for e in events if e.id not in stored]


def day_rows(events: Iterable[RequestEvent]) -> list[dict[str, Any]]:
    """The rows by which a batch of events raises `daily_stats`, one for each key."""
    days: dict[tuple[Any, ...], dict[str, Any]] = {}
    for event in events:
        usage = event.usage
        output = usage.billed_output
        metered = usage.input_tokens is not None and output is not None
        key = (
            event.requested_at.strftime("%Y-%m-%d"),
            _model(event),
            _cut(event.service_tier, 40) or "",
            (usage.input_tokens or 0) > LONG_CONTEXT_ABOVE,
        )
        row: dict[str, Any] | None = days.get(key)
        if row is None:
            row = days[key] = {**dict(zip(_DAY_KEY, key, strict=True)), **dict.fromkeys(_DAY_SUMS, 0)}
        row["requests"] += 1
        row["errors"] += event.status == "error"
        row["cancelled"] += event.status == "cancelled"
        row["successes"] += event.status == "success"
        row["unmetered_successes"] += event.status == "success" and event.billable and not metered
        if metered:
            row["metered"] += 1
            row["input_tokens"] += usage.input_tokens
            row["cached_input_tokens"] += usage.billed_cached
            row["output_tokens"] += output
            row["reasoning_tokens"] += usage.reasoning_tokens or 0
    return list(days.values())


def replace_prices(connection: Connection, book: Iterable[Price], currency: str = "USD") -> None:
    """Make the `prices` table hold exactly these prices."""
    connection.execute(delete(prices))
    rows = [
        {
            "model_prefix": p.model,
            "effective_from": p.effective_from,
            "currency": currency,
            "prompt_per_1m": p.input,
            "cached_prompt_per_1m": p.cached_input,
            "completion_per_1m": p.output,
            "long_input_factor": p.long_input_factor,
            "long_output_factor": p.long_output_factor,
            "tier_factors": json.dumps({k: str(v) for k, v in sorted(p.tiers.items())}),
            "origin": p.origin,
        }
        for p in book
    ]
    if rows:
        connection.execute(insert(prices), rows)


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


def _log_row(event: RequestEvent) -> dict[str, Any]:
    usage = event.usage
    return {
        "event_id": event.id,
        "account_id": _cut(event.account_id, 200),
        "api_key_id": _cut(event.api_key_id, 40),
        "request_id": _cut(event.request_id, 200),
        "upstream_request_id": _cut(event.upstream_request_id, 200),
        "requested_at": event.requested_at,
        "model": _model(event),
        "api": event.api,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "reasoning_effort": _cut(event.reasoning_effort, 40),
        "service_tier": _cut(event.service_tier, 40),
        "latency_ms": event.latency_ms,
        "latency_first_token_ms": event.latency_first_token_ms,
        "status": event.status,
        "http_status": event.http_status,
        "error_code": _cut(event.error_code, 100),
        "error_message": _cut(event.error_message, 1000),
        "end_reason": event.end_reason,
        "session_id": _cut(event.session_id, 200),
        "user_agent": _cut(event.user_agent, 200),
        "request_kind": "normal" if event.billable else "read",
    }


def _model(event: RequestEvent) -> str:
    return _cut(event.model, 200) or UNKNOWN_MODEL


def _cut(text: str | None, most: int) -> str | None:
    """Text as every store takes it: bounded, valid UTF-8, without NUL. Callers choose these words."""
    if text is None or (len(text) <= most and text.isascii() and "\0" not in text):
        return text
    return text[:most].encode("utf-8", "replace").decode("utf-8").replace("\0", "")
