"""The columns of the list of requests: which there are, and which a browser remembers to show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web

COOKIE = "quotascope-columns"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    label: str
    numeric: bool = False
    usual: bool = True


COLUMNS: tuple[Column, ...] = (
    Column("requested_at", "Time"),
    Column("status", "Status"),
    Column("http_status", "HTTP", usual=False),
    Column("error_code", "Failure"),
    Column("model", "Model"),
    Column("provider", "Provider", usual=False),
    Column("account_id", "Account"),
    Column("api_key_id", "Key"),
    Column("api", "Type"),
    Column("project", "Project", usual=False),
    Column("input_tokens", "Input", numeric=True),
    Column("cached_input_tokens", "Cached", numeric=True),
    Column("output_tokens", "Output", numeric=True),
    Column("reasoning_tokens", "Reasoning", numeric=True, usual=False),
    Column("speed", "Output/s", numeric=True, usual=False),
    Column("latency_ms", "Latency", numeric=True),
    Column("latency_first_token_ms", "First token", numeric=True),
    Column("cost_usd", "Cost", numeric=True),
    Column("service_tier", "Tier", usual=False),
    Column("reasoning_effort", "Effort", usual=False),
    Column("streamed", "Streamed", usual=False),
    Column("session_id", "Session", usual=False),
    Column("trace_id", "Trace", usual=False),
    Column("request_id", "Request", usual=False),
    Column("auth_index", "Auth index", usual=False),
    Column("gateway", "Gateway", usual=False),
    Column("user_agent", "Client", usual=False),
)
USUAL = tuple(column for column in COLUMNS if column.usual)


def chosen(request: web.Request) -> tuple[Column, ...]:
    """The columns that this browser wants; the usual ones where it has not said."""
    return ordered(request.cookies.get(COOKIE, "").split(".")) or USUAL


def ordered(names: Iterable[str]) -> tuple[Column, ...]:
    """Known columns of these names, in the order of the list."""
    wanted = set(names)
    return tuple(column for column in COLUMNS if column.name in wanted)
