"""Stored requests as the events that they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from ledger.request_tables import request_logs
from ledger.requests.texts import units_of
from ledger.values import RequestEvent, Usage

_USAGE = tuple(field.name for field in fields(Usage))
_CHANGED = ("requested_at", "login", "streamed", "provider_cost_usd", "extra_units")
_SAME = tuple(
    field.name
    for field in fields(RequestEvent)
    if field.name in request_logs.c and field.name not in ("id", *_CHANGED)
)
"""What is stored under its own name, as it is; an event may say more than a row keeps."""


def event_of(row: Mapping[str, Any]) -> RequestEvent:
    """The event of a row of `request_logs`, read as it is stored or through SQLAlchemy's types. The method of
    the HTTP request is not stored."""
    cost = row["provider_cost_usd"]
    plain: dict[str, Any] = {name: row[name] for name in _SAME}
    return RequestEvent(
        **plain,
        id=row["event_id"],
        method="",
        requested_at=moment_of(row["requested_at"]),
        usage=Usage(**{name: row[name] for name in _USAGE}),
        billable=row["request_kind"] != "read",
        login=_bool(row["login"]),
        streamed=_bool(row["streamed"]),
        provider_cost_usd=None if cost is None else Decimal(cost),
        extra_units=units_of(row["extra_units"]),
    )


def moment_of(at: Any) -> datetime:
    """A stored time: text, or naive, or aware."""
    moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _bool(value: Any) -> bool | None:
    return None if value is None else bool(value)
