"""The tables. `request_logs`, `usage_history` and `accounts` keep codex-lb's column names and its time
convention, so that one exporter reads both stores."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from ledger.columns import ExactDecimal, RowId, UtcDateTime, metadata
from ledger.request_tables import (
    COUNT_COLUMNS,
    failure_bodies,
    request_callers,
    request_changes,
    request_details,
    request_durations,
    request_hourly,
    request_kinds,
    request_logs,
    request_rows,
    request_sessions,
)

__all__ = [
    "account_audit",
    "account_marks",
    "accounts",
    "collector_failures",
    "collector_gaps",
    "collector_gateways",
    "daily_stats",
    "failure_bodies",
    "key_holds",
    "key_spend",
    "metadata",
    "prices",
    "request_callers",
    "request_changes",
    "request_details",
    "request_durations",
    "request_hourly",
    "request_kinds",
    "request_logs",
    "request_rows",
    "request_sessions",
    "sticky_sessions",
    "usage_history",
    "versions",
]

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("email", String(320), nullable=False, default=""),
    Column("alias", String(200)),
    Column("plan_type", String(40), nullable=False, default="unknown"),
    Column("status", String(40), nullable=False, default="active"),
    Column("deactivation_reason", Text),
    Column("reset_at", BigInteger),  # epoch seconds
    Column("blocked_at", BigInteger),  # epoch seconds
    Column("created_at", UtcDateTime, nullable=False),
    Column("delete_requested_at", UtcDateTime),  # set: hidden
    Column("credential", String(1000)),  # a reference (env:NAME, file:PATH, codex:PATH), never a secret
    Column("credential_renewed_at", UtcDateTime),  # it is read again when this changes
    Column("resumed_at", UtcDateTime),  # a person said that it is well: nothing noticed before counts
    Column("upstream_base_url", String(1000)),  # null: the proxy's own upstream
    Column("pool", String(10), nullable=False, default="full", server_default="full"),  # pinned | full
    Column("origin", String(10), nullable=False, default="command", server_default="command"),
)

account_marks = Table(
    "account_marks",
    metadata,
    Column("account_id", String(200), primary_key=True),
    Column("marked_at", UtcDateTime, nullable=False),
    Column("event", String(20), nullable=False),  # what was noticed last
    Column("code", String(100)),
    Column("cooldown_until", Float, nullable=False),  # epoch seconds: by our own caution; 0: none
    Column("errors", Integer, nullable=False),  # failures since the last success
    Column("wait_until", Float, nullable=False, server_default="0"),  # epoch seconds: as the provider said
)

account_audit = Table(
    "account_audit",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("account_id", String(200), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("action", String(20), nullable=False),
    Column("origin", String(20), nullable=False),  # command | config | console | proxy | time
    Column("from_status", String(40)),
    Column("to_status", String(40)),
    Column("reason", Text),
    Column("actor", String(100)),  # who, where the origin knows: a person's login name
    Index("idx_audit_account_time", "account_id", "at"),
)

account_decisions = Table(
    "account_decisions",
    metadata,
    Column("account_id", String(200), primary_key=True),
    Column("kind", String(20), primary_key=True),  # of the action that was proposed
    Column("decision", String(20), nullable=False),  # ignored | resolved
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(100)),
)

versions = Table(
    "versions",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("version", BigInteger, nullable=False),  # raised with every change: one cheap read tells
)

sticky_sessions = Table(
    "sticky_sessions",
    metadata,
    Column("key", String(64), primary_key=True),  # a digest; what the caller named is not kept
    Column("account_id", String(200), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("idx_sticky_updated", "updated_at"),
)

key_spend = Table(
    "key_spend",
    metadata,
    Column("key", String(40), primary_key=True),  # the name of a proxy key that has a budget
    Column("day", String(10), primary_key=True),  # UTC day, YYYY-MM-DD
    # 10^-9 US dollars, whole: sums must be exact, and made by the database
    Column("nano_usd", BigInteger, nullable=False),
    Column("estimated_nano_usd", BigInteger, nullable=False),  # the part of requests without counts
    Column("requests", BigInteger, nullable=False),
)

key_holds = Table(
    "key_holds",
    metadata,
    Column("key", String(40), primary_key=True),
    Column("holder", String(40), primary_key=True),  # one running process
    Column("nano_usd", BigInteger, nullable=False),  # what it may still spend, running requests included
    Column("expires_at", Float, nullable=False),  # epoch seconds; renewed while the process lives
)

usage_history = Table(
    "usage_history",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("account_id", String(200), nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("window", String(20)),
    Column("used_percent", Float, nullable=False),
    Column("reset_at", BigInteger),  # epoch seconds
    Column("window_minutes", Integer),
    Column("credits_has", Boolean),
    Column("credits_unlimited", Boolean),
    Column("credits_balance", Float),
    Index("idx_usage_account_window_time", "account_id", "window", "recorded_at"),
)

daily_stats = Table(
    "daily_stats",
    metadata,
    Column("day", String(10), primary_key=True),  # UTC day, YYYY-MM-DD
    # What changes the price of a token keeps the sums apart
    Column("provider", String(40), primary_key=True, default=""),
    Column("model", String(200), primary_key=True),
    Column("service_tier", String(40), primary_key=True, default=""),  # the tier that decides the price
    Column(
        "context_above", Integer, primary_key=True, default=0
    ),  # the highest step the input is more than; -1: not known
    Column("requests", BigInteger, nullable=False),
    Column("errors", BigInteger, nullable=False),
    Column("cancelled", BigInteger, nullable=False),
    Column("successes", BigInteger, nullable=False),
    Column("metered", BigInteger, nullable=False),  # requests whose usage was reported
    Column("unmetered_successes", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    *(
        Column(name, BigInteger, nullable=False) for name in COUNT_COLUMNS.values()
    ),  # billed: clamped, disjoint
)

prices = Table(
    "prices",
    metadata,
    Column("id", RowId, primary_key=True, autoincrement=True),
    Column("provider", String(40), nullable=False),  # "": whatever the provider
    Column("model_prefix", String(200), nullable=False),  # a name, or a pattern with * at an end
    Column("effective_from", UtcDateTime, nullable=False),
    Column("currency", String(3), nullable=False, default="USD"),
    Column("prompt_per_1m", ExactDecimal, nullable=False),
    Column("completion_per_1m", ExactDecimal, nullable=False),
    Column("cached_prompt_per_1m", ExactDecimal),
    Column("cache_write_per_1m", ExactDecimal),  # for five minutes
    Column("cache_write_1h_per_1m", ExactDecimal),
    Column("audio_prompt_per_1m", ExactDecimal),
    Column("audio_completion_per_1m", ExactDecimal),
    Column("image_prompt_per_1m", ExactDecimal),
    Column("image_completion_per_1m", ExactDecimal),
    Column("context_tiers", Text, nullable=False),  # JSON object: input tokens -> rates of inputs above them
    Column("tiers", Text, nullable=False),  # JSON object: service tier -> its rates
    Column("units", Text, nullable=False),  # JSON object: what is billed beside tokens -> its rate
    Column("names", Text, nullable=False),  # JSON list: other names and patterns of the model
    Column("alias_of", String(200)),  # the model that this name stands for
    Column("origin", String(10), nullable=False),  # data | override | config
    Column("context_window", Integer),  # the most input tokens that the model takes
    Column("reason", Text),
    Column("source", Text),
    Column("as_of", String(10)),
    UniqueConstraint("provider", "model_prefix", "effective_from", "origin"),
)

collector_gateways = Table(
    "collector_gateways",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("instance_id", String(200), nullable=False),
    Column("state", String(20), nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("transport", String(20)),
    Column("problem", Text),
    Column("version", String(100)),
    Column("last_event_at", UtcDateTime),
    Column("events", BigInteger, nullable=False),
    Column("pending", BigInteger, nullable=False),
    Column("undecodable", BigInteger, nullable=False),
    Column("checks", Text, nullable=False),  # JSON list of name, result, detail
)

collector_gaps = Table(
    "collector_gaps",
    metadata,
    Column("id", String(80), primary_key=True),  # the collector's own
    Column("gateway", String(200), nullable=False),
    Column("reason", String(20), nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),  # null: it goes on
    Index("idx_gaps_began", "began_at"),
)

collector_failures = Table(
    "collector_failures",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("gateway", String(200), nullable=False),
    Column("account_id", String(200), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("provider", String(40)),
    Column("model", String(200)),
    Column("http_status", Integer, nullable=False),
    Column("code", String(100), nullable=False),
    Column("error_class", String(40), nullable=False),
    Column("message", Text),  # sanitised
    Column("retryable", Boolean, nullable=False),
    Index("idx_failures_at", "at"),
)
