"""Requests for other programs: one object a row, one line a row. Pure."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from console.formats import iso, text
from ledger.privacy import without_likely
from ledger.requests.answers import RequestRow

MAX_FAILURE = 4_096

PLAIN = (
    "model",
    "requested_model",
    "provider",
    "account_id",
    "api_key_id",
    "status",
    "http_status",
    "error_class",
    "error_code",
)
MORE = (
    "end_reason",
    "api",
    "route",
    "streamed",
    "project",
    "session_id",
    "trace_id",
    "request_id",
    "upstream_request_id",
    "response_id",
    "service_tier",
    "requested_service_tier",
    "reasoning_effort",
    "latency_ms",
    "latency_first_token_ms",
    "user_agent",
    "gateway",
    "auth_index",
    "instance_id",
    "source",
)
TOKENS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
)
FIELDS = (
    "requested_at",
    *PLAIN,
    "error_message",
    *TOKENS,
    "cost_usd",
    "unpriced",
    "billed_tier",
    "provider_cost_usd",
    "extra_units",
    *MORE,
)
"""Every field of an exported row, in their order; the columns of the CSV."""

_UNSEEN = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""What a terminal obeys, or what turns the order of letters; JSON may hold it as it is."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def document(row: RequestRow) -> dict[str, Any]:
    """A row as an object: exact numbers, null for what is not known, failures sanitised once more."""
    message = row.error_message
    found = {
        "requested_at": iso(row.requested_at),
        "error_message": without_likely(message[:MAX_FAILURE]) if message else None,
        "cost_usd": row.cost_usd,
        "unpriced": row.unpriced,
        "billed_tier": row.billed_tier,
        "provider_cost_usd": row.provider_cost_usd,
        "extra_units": row.extra_units,
        **{name: getattr(row, name) for name in (*PLAIN, *MORE)},
        **{name: getattr(row.usage, name) for name in TOKENS},
    }
    return {name: found[name] for name in FIELDS}


def json_lines(rows: Iterable[RequestRow]) -> str:
    """Each row as one line of JSON; money as a number with all its digits."""
    return "".join(money(document(row)) + "\n" for row in rows)


def csv_head() -> str:
    return _csv([FIELDS])


def csv_lines(rows: Iterable[RequestRow]) -> str:
    """Each row as a line of CSV. What a spreadsheet would take for a formula gets an apostrophe before it:
    callers choose these texts."""
    return _csv([[_cell(value) for value in document(row).values()] for row in rows])


def money(value: Any) -> str:
    """JSON in which a Decimal is a number with all its digits."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{money(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(money, value)) + "]"
    written = json.dumps(value, ensure_ascii=False)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", written)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return money(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, str):
        clean = value if value.isprintable() else text(value, len(value))
        return "'" + clean if clean.startswith(_FORMULA) else clean
    return str(value)


def _csv(rows: Iterable[Iterable[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue()
