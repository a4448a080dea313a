"""Requests as short rows that point at texts stored once, sums of them by hour, and `request_logs` as a view.

The rows of before are set aside as `request_logs_before`; `ledger.requests.conversion` takes them over, the
newest first, in steps that can be interrupted. Until it is done the view shows both.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from ledger.migrations.view_0010 import EVENT_LOG_VIEW, request_logs_view

revision = "0010"
down_revision = "0009"

TEXT_TABLES: dict[str, dict[str, Any]] = {
    "request_callers": {
        "instance_id": sa.String(200),
        "source": sa.String(20),
        "gateway": sa.String(200),
        "account_id": sa.String(200),
        "api_key_id": sa.String(40),
        "project": sa.String(200),
        "auth_index": sa.String(200),
    },
    "request_kinds": {
        "provider": sa.String(40),
        "model": sa.String(200),
        "requested_model": sa.String(200),
        "service_tier": sa.String(40),
        "requested_service_tier": sa.String(40),
        "login": sa.Boolean(),
        "api": sa.String(40),
        "status": sa.String(20),
        "http_status": sa.Integer(),
        "error_class": sa.String(40),
        "error_code": sa.String(100),
        "streamed": sa.Boolean(),
        "context_above": sa.Integer(),
    },
    "request_details": {
        "user_agent": sa.String(200),
        "reasoning_effort": sa.String(40),
        "route": sa.String(200),
        "end_reason": sa.String(20),
        "request_kind": sa.String(20),
    },
    "request_sessions": {"session_id": sa.String(200)},
}
REQUIRED = {"model", "status", "context_above", "request_kind", "session_id"}

TOKENS = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
)
SUMS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "web_searches",
    "file_searches",
    "characters",
    "pages",
    "audio_ms",
)
OUTCOMES = (
    "requests",
    "errors",
    "cancelled",
    "successes",
    "metered",
    "unmetered_successes",
    "reasoning_tokens",
)
EARLIER_SUMS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
)


def upgrade() -> None:
    op.execute("DROP VIEW IF EXISTS event_log")
    for name, columns in TEXT_TABLES.items():
        op.create_table(
            name,
            _row_id(),
            sa.Column("digest", sa.LargeBinary(16), nullable=False),
            *(sa.Column(column, kind, nullable=column not in REQUIRED) for column, kind in columns.items()),
            sa.PrimaryKeyConstraint("id"),
            sa.UniqueConstraint("digest"),
        )
    _create_rows()
    _create_sums()
    _rebuild_days()
    op.drop_index("idx_logs_requested_at", table_name="request_logs")
    op.drop_index("idx_logs_account_time", table_name="request_logs")
    op.rename_table("request_logs", "request_logs_before")
    bind = op.get_bind()
    has_rows = bind.execute(sa.text("SELECT 1 FROM request_logs_before LIMIT 1")).first() is not None
    op.execute(_escaped(request_logs_view(bind.dialect.name, with_before=has_rows)))
    op.execute(EVENT_LOG_VIEW)
    if not has_rows:
        op.drop_table("request_logs_before")


def _escaped(statement: str) -> sa.TextClause:
    return sa.text(statement.replace(":", r"\:"))


def _create_rows() -> None:
    op.create_table(
        "request_rows",
        _row_id(),
        sa.Column("event_id", sa.String(200), nullable=False),
        *(sa.Column(n, sa.BigInteger(), nullable=False) for n in ("at", "caller_id", "kind_id", "detail_id")),
        sa.Column("session_number", sa.BigInteger(), nullable=True),
        sa.Column("request_id", sa.String(200), nullable=False),
        *(
            sa.Column(name, sa.String(200), nullable=True)
            for name in ("upstream_request_id", "trace_id", "response_id")
        ),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in TOKENS),
        *(sa.Column(name, sa.Float(), nullable=True) for name in ("latency_ms", "latency_first_token_ms")),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("provider_cost_usd", sa.String(40), nullable=True),
        sa.Column("extra_units", sa.Text(), nullable=True),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event_id"),
    )
    op.create_index("idx_rows_at", "request_rows", ["at"])
    op.create_index("idx_rows_caller_at", "request_rows", ["caller_id", "at"])
    op.create_index("idx_rows_kind_at", "request_rows", ["kind_id", "at"])
    for index, column in (("idx_rows_session", "session_number"), ("idx_rows_trace", "trace_id")):
        present = sa.text(f"{column} IS NOT NULL")
        op.create_index(index, "request_rows", [column], sqlite_where=present, postgresql_where=present)


def _create_sums() -> None:
    op.create_table(
        "request_hourly",
        sa.Column("hour", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("caller_id", "kind_id")),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("requests", "metered", "unmetered", "reasoning_tokens", *SUMS)
        ),
        sa.PrimaryKeyConstraint("hour", "caller_id", "kind_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("idx_hourly_caller", "request_hourly", ["caller_id", "hour"])
    op.create_table(
        "request_durations",
        sa.Column("hour", sa.Integer(), nullable=False),
        sa.Column("kind_id", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.SmallInteger(), nullable=False) for name in ("measure", "bucket")),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "kind_id", "measure", "bucket"),
        sqlite_with_rowid=False,
    )


def _rebuild_days() -> None:
    """The days that the requests reach back to are counted again with them; older ones stay as they were."""
    op.rename_table("daily_stats", "daily_stats_before")
    op.create_table(
        "daily_stats",
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("provider", sa.String(40), nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("service_tier", sa.String(40), nullable=False),
        sa.Column("context_above", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in (*OUTCOMES, *SUMS)),
        sa.PrimaryKeyConstraint(
            "day", "provider", "model", "service_tier", "context_above", name="daily_stats_key"
        ),
    )
    old = ", ".join((*OUTCOMES, *EARLIER_SUMS))
    new = [name for name in SUMS if name not in EARLIER_SUMS]
    op.execute(
        f"INSERT INTO daily_stats (day, provider, model, service_tier, context_above, {old},"  # noqa: S608
        f" {', '.join(new)})"
        f" SELECT day, '', model, service_tier, CASE WHEN long_context THEN 272000 ELSE 0 END, {old},"
        f" {', '.join('0' for _ in new)} FROM daily_stats_before WHERE day <"
        " coalesce((SELECT substr(CAST(min(requested_at) AS TEXT), 1, 10) FROM request_logs), '9999')"
    )
    op.drop_table("daily_stats_before")


def _row_id() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, autoincrement=True, nullable=False)
