"""The tables of requests.

Texts that repeat are stored once: who asked (`request_callers`), what for and how it ended (`request_kinds`),
how (`request_details`), in which conversation (`request_sessions`). A request is a short row of numbers that
points at them. `request_logs` puts them together again under codex-lb's column names: here for SQLAlchemy, in
the store as a view for everybody else.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    select,
)

from ledger.columns import ExactDecimal, HexId, Micros, RowId, metadata

request_callers = Table(
    "request_callers",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("digest", LargeBinary(16), nullable=False, unique=True),  # of the values: what they are found by
    Column("instance_id", String(200)),  # which proxy or collector wrote it
    Column("source", String(20)),  # proxy | collector | import; null: written before there was a choice
    Column("gateway", String(200)),  # the collected gateway
    Column("account_id", String(200)),
    Column("api_key_id", String(40)),  # masked
    Column("project", String(200)),
    Column("auth_index", String(200)),  # the collected gateway's credential
)

request_kinds = Table(
    "request_kinds",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("digest", LargeBinary(16), nullable=False, unique=True),
    Column("provider", String(40)),  # openai, anthropic, google, xai ...
    Column("model", String(200), nullable=False),
    Column("requested_model", String(200)),
    Column("service_tier", String(40)),
    Column("requested_service_tier", String(40)),
    Column("login", Boolean),  # a ChatGPT login: the requested tier decides the price
    Column("api", String(40)),
    Column("status", String(20), nullable=False),
    Column("http_status", Integer),
    Column("error_class", String(40)),
    Column("error_code", String(100)),
    Column("streamed", Boolean),
    Column(
        "context_above", Integer, nullable=False
    ),  # the highest step the input is more than; -1: not known
)

request_details = Table(
    "request_details",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("digest", LargeBinary(16), nullable=False, unique=True),
    Column("user_agent", String(200)),
    Column("reasoning_effort", String(40)),
    Column("route", String(200)),  # a path template
    Column("end_reason", String(20)),
    Column("request_kind", String(20), nullable=False),
)

request_sessions = Table(
    "request_sessions",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("digest", LargeBinary(16), nullable=False, unique=True),
    Column("session_id", String(200), nullable=False),
)

request_rows = Table(
    "request_rows",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("event_id", HexId, nullable=False, unique=True),  # ours; provider ids repeat or are missing
    Column("at", Micros, nullable=False),  # when the request ended
    Column("caller_id", BigInteger, nullable=False),
    Column("kind_id", BigInteger, nullable=False),
    Column("detail_id", BigInteger, nullable=False),
    Column("session_number", BigInteger),
    Column("request_id", HexId, nullable=False),  # the client's request: shared by its attempts
    Column("upstream_request_id", String(200)),  # what to quote to the provider's support
    Column("trace_id", HexId),
    Column("response_id", String(200)),  # the provider's: counts a background response once
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cached_input_tokens", BigInteger),
    Column("reasoning_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),  # for five minutes, or not told apart; a part of the input
    Column("cache_write_1h_tokens", BigInteger),
    Column("audio_input_tokens", BigInteger),
    Column("audio_output_tokens", BigInteger),
    Column("image_input_tokens", BigInteger),
    Column("image_output_tokens", BigInteger),
    Column("latency_ms", Float),
    Column("latency_first_token_ms", Float),
    Column("error_message", Text),
    Column("provider_cost_usd", ExactDecimal),  # what the provider itself says that it cost
    Column("extra_units", Text),  # JSON object: what is billed beside tokens
    Column("deleted_at", Micros),
    Index("idx_rows_at", "at"),
    Index("idx_rows_caller_at", "caller_id", "at"),
    Index("idx_rows_kind_at", "kind_id", "at"),
    # Both of rows that have one, as the migration makes them: named here, that would load both dialects.
    Index("idx_rows_session", "session_number"),
    Index("idx_rows_trace", "trace_id"),
)

failure_bodies = Table(
    "failure_bodies",
    metadata,
    Column("event_id", HexId, primary_key=True),
    Column("at", Micros, nullable=False),  # when the request ended
    Column("body", Text, nullable=False),
    Index("idx_failure_bodies_at", "at"),
)

COUNT_COLUMNS = {
    "input": "input_tokens",
    "cached_input": "cached_input_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "output": "output_tokens",
    "audio_input": "audio_input_tokens",
    "audio_output": "audio_output_tokens",
    "image_input": "image_input_tokens",
    "image_output": "image_output_tokens",
    "web_searches": "web_searches",
    "file_searches": "file_searches",
    "characters": "characters",
    "pages": "pages",
    "audio_ms": "audio_ms",
}
"""The fields of `Counts`, in their order, and the columns of the sums that hold them."""

request_hourly = Table(
    "request_hourly",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),  # hours since 1970, UTC
    Column("caller_id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind_id", BigInteger, primary_key=True, autoincrement=False),  # outcome and price class are in it
    Column("requests", BigInteger, nullable=False),
    Column("metered", BigInteger, nullable=False),  # requests that said what they used
    Column("unmetered", BigInteger, nullable=False),  # successes that should have, and did not
    Column("reasoning_tokens", BigInteger, nullable=False),
    *(
        Column(name, BigInteger, nullable=False) for name in COUNT_COLUMNS.values()
    ),  # billed: clamped, disjoint
    Index("idx_hourly_caller", "caller_id", "hour"),
)

LATENCY, FIRST_TOKEN = 0, 1
"""Values of `request_durations.measure`."""

request_durations = Table(
    "request_durations",
    metadata,
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("kind_id", BigInteger, primary_key=True, autoincrement=False),
    Column("measure", SmallInteger, primary_key=True, autoincrement=False),
    Column("bucket", SmallInteger, primary_key=True, autoincrement=False),  # of `sums.histogram`
    Column("number", BigInteger, nullable=False),
)

request_changes = Table(
    "request_changes",
    metadata,
    Column("minutes", SmallInteger, primary_key=True, autoincrement=False),  # 60 or 5: how long it is
    Column("number", Integer, primary_key=True, autoincrement=False),  # since 1970, in units of that
    Column("changed", BigInteger, nullable=False),  # a stamp that grows with every change
)
"""When requests of an hour, and of five minutes, were last stored, changed or removed: what readers remember
is true as long as the stamp stays the same. No row: not since there are stamps."""

CALLER = tuple(c.name for c in request_callers.columns if c.name not in ("id", "digest"))
KIND = tuple(c.name for c in request_kinds.columns if c.name not in ("id", "digest"))
DETAIL = tuple(c.name for c in request_details.columns if c.name not in ("id", "digest"))

_r = request_rows.c
request_logs = (
    select(
        _r.id,
        _r.event_id,
        request_callers.c.account_id,
        request_callers.c.api_key_id,
        _r.request_id,
        _r.upstream_request_id,
        _r.at.label("requested_at"),
        request_kinds.c.model,
        request_kinds.c.api,
        _r.input_tokens,
        _r.output_tokens,
        _r.cached_input_tokens,
        _r.reasoning_tokens,
        request_details.c.reasoning_effort,
        request_kinds.c.service_tier,
        _r.latency_ms,
        _r.latency_first_token_ms,
        request_kinds.c.status,
        request_kinds.c.http_status,
        request_kinds.c.error_code,
        _r.error_message,
        request_details.c.end_reason,
        request_sessions.c.session_id,
        request_details.c.user_agent,
        request_details.c.request_kind,
        _r.deleted_at,
        request_callers.c.instance_id,
        request_callers.c.source,
        request_callers.c.gateway,
        request_kinds.c.provider,
        request_kinds.c.requested_model,
        request_kinds.c.requested_service_tier,
        request_callers.c.project,
        _r.trace_id,
        _r.response_id,
        request_callers.c.auth_index,
        request_details.c.route,
        request_kinds.c.error_class,
        _r.provider_cost_usd,
        request_kinds.c.login,
        request_kinds.c.streamed,
        _r.cache_write_tokens,
        _r.cache_write_1h_tokens,
        _r.audio_input_tokens,
        _r.audio_output_tokens,
        _r.image_input_tokens,
        _r.image_output_tokens,
        _r.extra_units,
        _r.caller_id,
        _r.kind_id,
        _r.detail_id,
        _r.session_number,
        request_kinds.c.context_above,
    )
    .select_from(
        # Outer joins, though there is always a partner: what nobody asks for is then not looked up
        request_rows.outerjoin(request_callers, request_callers.c.id == _r.caller_id)
        .outerjoin(request_kinds, request_kinds.c.id == _r.kind_id)
        .outerjoin(request_details, request_details.c.id == _r.detail_id)
        .outerjoin(request_sessions, request_sessions.c.id == _r.session_number)
    )
    .subquery("request_logs")
)
