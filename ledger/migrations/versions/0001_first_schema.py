"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(length=200), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("alias", sa.String(length=200), nullable=True),
        sa.Column("plan_type", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("deactivation_reason", sa.Text(), nullable=True),
        sa.Column("reset_at", sa.BigInteger(), nullable=True),
        sa.Column("blocked_at", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("delete_requested_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "daily_stats",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("service_tier", sa.String(length=40), nullable=False),
        sa.Column("long_context", sa.Boolean(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("cancelled", sa.BigInteger(), nullable=False),
        sa.Column("successes", sa.BigInteger(), nullable=False),
        sa.Column("metered", sa.BigInteger(), nullable=False),
        sa.Column("unmetered_successes", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "model", "service_tier", "long_context"),
    )
    op.create_table(
        "prices",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("model_prefix", sa.String(length=200), nullable=False),
        sa.Column("effective_from", sa.DateTime(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("prompt_per_1m", sa.String(length=40), nullable=False),
        sa.Column("cached_prompt_per_1m", sa.String(length=40), nullable=True),
        sa.Column("completion_per_1m", sa.String(length=40), nullable=False),
        sa.Column("long_input_factor", sa.String(length=40), nullable=False),
        sa.Column("long_output_factor", sa.String(length=40), nullable=False),
        sa.Column("tier_factors", sa.Text(), nullable=False),
        sa.Column("origin", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("model_prefix", "effective_from", "origin"),
    )
    op.create_table(
        "request_logs",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("event_id", sa.String(length=40), nullable=False),
        sa.Column("account_id", sa.String(length=200), nullable=True),
        sa.Column("api_key_id", sa.String(length=40), nullable=True),
        sa.Column("request_id", sa.String(length=200), nullable=False),
        sa.Column("upstream_request_id", sa.String(length=200), nullable=True),
        sa.Column("requested_at", sa.DateTime(), nullable=False),
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("api", sa.String(length=40), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cached_input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=True),
        sa.Column("reasoning_effort", sa.String(length=40), nullable=True),
        sa.Column("service_tier", sa.String(length=40), nullable=True),
        sa.Column("latency_ms", sa.Float(), nullable=True),
        sa.Column("latency_first_token_ms", sa.Float(), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("error_code", sa.String(length=100), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("end_reason", sa.String(length=20), nullable=True),
        sa.Column("session_id", sa.String(length=200), nullable=True),
        sa.Column("user_agent", sa.String(length=200), nullable=True),
        sa.Column("request_kind", sa.String(length=20), nullable=False),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event_id"),
    )
    op.create_index("idx_logs_account_time", "request_logs", ["account_id", "requested_at"], unique=False)
    op.create_index("idx_logs_requested_at", "request_logs", ["requested_at"], unique=False)
    op.create_table(
        "usage_history",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("account_id", sa.String(length=200), nullable=False),
        sa.Column("recorded_at", sa.DateTime(), nullable=False),
        sa.Column("window", sa.String(length=20), nullable=True),
        sa.Column("used_percent", sa.Float(), nullable=False),
        sa.Column("reset_at", sa.BigInteger(), nullable=True),
        sa.Column("window_minutes", sa.Integer(), nullable=True),
        sa.Column("credits_has", sa.Boolean(), nullable=True),
        sa.Column("credits_unlimited", sa.Boolean(), nullable=True),
        sa.Column("credits_balance", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "idx_usage_account_window_time",
        "usage_history",
        ["account_id", "window", "recorded_at"],
        unique=False,
    )
