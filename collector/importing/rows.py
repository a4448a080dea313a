"""A row of another program -> the same event that the proxy makes of a request. Pure.

An event's id follows from what the program itself knows the request by, so a row is one event from whatever
copy or export it is read, and however often.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from msgspec.structs import replace

from collector.decoding.fields import Undecodable, count, moment, number, table, text
from collector.decoding.providers import provider_of
from collector.decoding.record import NO_TIER, request_event
from collector.decoding.tokens import BESIDE, THOUGHTS_BESIDE
from collector.importing.files import Kind
from ledger.privacy import safe_code, safe_message
from ledger.requests.error_codes import error_class
from ledger.values import DEFAULT_ACCOUNT, NO_USAGE, EndReason, RequestEvent, Status, Usage

Decode = Callable[[Mapping[str, Any], str], RequestEvent | None]
"""A row and the name of its gateway -> its event, or None for a row that its owner has deleted.
Raises: Undecodable."""

HASH_DIGITS = 12
_RECORD = frozenset({"timestamp", "model", "failed", "tokens"})
"""What a gateway's record has at least."""

_STATUSES: Mapping[str, Status] = {"success": "success", "error": "error", "cancelled": "cancelled"}
_ENDS: Mapping[Status, tuple[int, EndReason]] = {
    "success": (200, "done"),
    "error": (500, "upstream_error"),
    "cancelled": (499, "client_gone"),
}
"""An HTTP status where none was stored, and how such a request ended."""


def identity(*parts: object) -> str:
    told = json.dumps([str(part) for part in parts]).encode()
    return blake2b(told, digest_size=16, person=b"imported").hexdigest()


def cpamp(row: Mapping[str, Any], gateway: str) -> RequestEvent | None:
    """A row of `usage_events`, or a line of its export: a gateway's record, taken apart there. Its database
    has the record itself too, without keys."""
    known = text(row, "event_hash")
    raw = _document(row.get("raw_json"))
    record = raw if raw.keys() >= _RECORD else _put_together(row)
    if known is None:
        raise Undecodable("event_hash is needed")
    named = {"api_key": None, "project": text(row, "auth_project_id_snapshot")}
    event = request_event({**record, **named}, identity("cpamp", known), gateway, None)
    key = text(row, "api_key_hash")
    return replace(
        event,
        source="import",
        api_key_id=f"#{key[:HASH_DIGITS]}" if key else "unknown",
        batched=number(row, "latency_ms") is None,
    )


def _put_together(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record again. Its time is the request's beginning."""
    began = moment(row.get("timestamp")) or _moment(row.get("timestamp_ms"))
    if began is None:
        raise Undecodable("timestamp or timestamp_ms is needed")
    model = text(row, "resolved_model") or text(row, "model")
    named = None if model in (None, "-") else model
    provider = text(row, "provider")
    served = text(row, "response_service_tier")
    requested, decides = text(row, "request_service_tier"), text(row, "service_tier")
    if served is None and requested is None:  # the export has the one alone that decides the price
        requested, served = (decides, None) if provider == "codex" else (None, _said(decides))
    trace = table(table(row, "response_metadata"), "trace")
    return {
        **row,
        "timestamp": began.isoformat(),
        "model": named or "unknown",
        "alias": text(row, "requested_model"),
        "failed": bool(row.get("failed")),
        "fail": {"status_code": row.get("fail_status_code") or 500, "body": _body(row.get("fail_summary"))},
        "service_tier": requested,
        "response_service_tier": served,
        "response_headers": {"x-request-id": [trace.get("request_id")]},
        "token_breakdown": _breakdown(row, provider_of(provider, named)),
    }


def _said(tier: str | None) -> str | None:
    return None if tier in NO_TIER else tier


def _body(summary: object) -> str | None:
    """The provider's error: the first document, where it is one. Headers follow there."""
    if not isinstance(summary, str):
        return None
    try:
        _, end = json.JSONDecoder().raw_decode(summary)
    except (ValueError, RecursionError):
        return summary
    return summary[:end]


def _breakdown(row: Mapping[str, Any], provider: str | None) -> Mapping[str, Any]:
    """Its counts, each side with all of its parts."""
    given, output = count(row, "input_tokens") or 0, count(row, "output_tokens") or 0
    reasoning, written = count(row, "reasoning_tokens") or 0, count(row, "cache_creation_tokens") or 0
    names = ("cache_read_tokens", "cached_tokens", "cache_tokens")
    read = next(filter(None, (count(row, name) for name in names)), 0)
    mode = text(row, "cache_input_mode")
    beside = provider in BESIDE if mode is None else mode == "separate_from_input"
    return {
        "input": {
            "total_tokens": given + (read + written if beside else 0),
            "cache_read_tokens": read,
            "cache_write_tokens": written,
        },
        "output": {
            "total_tokens": output + (reasoning if provider in THOUGHTS_BESIDE else 0),
            "reasoning_tokens": reasoning,
        },
    }


def codex_usage(row: Mapping[str, Any], gateway: str) -> RequestEvent | None:
    """A row of `event_log`. Its titles and summaries are callers' words, and are not taken."""
    at, model = _moment(row.get("timestamp")), text(row, "model")
    if at is None or model is None:
        raise Undecodable("timestamp and model are needed")
    names = ("prompt_tokens", "completion_tokens", "cached_prompt_tokens", "reasoning_tokens")
    usage = NO_USAGE if row.get("usage_included") in (0, False) else Usage(*(count(row, n) for n in names))
    session = text(row, "conversation_id")
    place = row.get("id", row.get("row_number_there"))
    told = identity("codex-usage", place, row.get("timestamp"), model, session, row.get("total_tokens"))
    return _event(told, at, "success", model, usage, account_id=DEFAULT_ACCOUNT, session_id=session)


def codex_lb(row: Mapping[str, Any], gateway: str) -> RequestEvent | None:
    """A row of `request_logs`."""
    if row.get("deleted_at") is not None:
        return None
    at, model = _moment(row.get("requested_at")), text(row, "model")
    status = _STATUSES.get((text(row, "status") or "").casefold())
    if at is None or model is None or status is None:
        raise Undecodable("requested_at, model and a status of success, error or cancelled are needed")
    names = ("input_tokens", "output_tokens", "cached_input_tokens", "reasoning_tokens")
    account, request = text(row, "account_id"), text(row, "request_id")
    code = safe_code(text(row, "error_code")) if status == "error" else None
    http_status = count(row, "upstream_status_code") or _ENDS[status][0]
    requested = text(row, "requested_service_tier")
    event = _event(
        identity("codex-lb", row.get("id"), account, request, at.isoformat(), model),
        at,
        status,
        model,
        Usage(*(count(row, name) for name in names)),
        account_id=account or gateway,
        request_id=request,
        api_key_id=text(row, "api_key_id"),
        session_id=text(row, "session_id") or text(row, "conversation_id"),
        http_status=http_status,
        error_code=code,
    )
    latency = number(row, "latency_ms")
    return replace(
        event,
        latency_ms=latency or 0.0,
        batched=latency is None,
        latency_first_token_ms=number(row, "latency_first_token_ms") or None,
        reasoning_effort=text(row, "reasoning_effort"),
        service_tier=text(row, "actual_service_tier") or (None if requested else text(row, "service_tier")),
        requested_service_tier=requested or text(row, "service_tier"),
        error_message=safe_message(row.get("error_message")) if status == "error" else None,
        error_class=error_class(code, http_status) if status == "error" else None,
        user_agent=text(row, "useragent"),
        login=True,
    )


def _event(
    told: str,
    at: datetime,
    status: Status,
    model: str,
    usage: Usage,
    *,
    account_id: str,
    session_id: str | None,
    request_id: str | None = None,
    api_key_id: str | None = None,
    http_status: int = 200,
    error_code: str | None = None,
) -> RequestEvent:
    """A request of Codex; its duration is not known."""
    return RequestEvent(
        id=told,
        account_id=account_id,
        api_key_id=api_key_id or "unknown",
        request_id=request_id or told,
        requested_at=at,
        method="POST",
        route="/v1/responses",
        api="responses",
        model=model,
        usage=usage,
        status=status,
        http_status=http_status,
        end_reason=_ENDS[status][1],
        latency_ms=0.0,
        error_code=error_code,
        session_id=session_id,
        source="import",
        provider=provider_of(None, model) or "openai",
        batched=True,
    )


def _document(value: object) -> Mapping[str, Any]:
    """JSON within a column; empty where it is none."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _moment(value: object) -> datetime | None:
    """A stored time: text, a database's own, or seconds or milliseconds since 1970."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return moment(value)
    try:
        return datetime.fromtimestamp(value / 1_000 if value >= 1e11 else value, UTC)
    except (ValueError, OverflowError, OSError):
        return None


DECODERS: Mapping[Kind, Decode] = {
    "CPA-Manager-Plus": cpamp,
    "codex-usage": codex_usage,
    "codex-lb": codex_lb,
}
