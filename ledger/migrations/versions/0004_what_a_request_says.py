"""What a request says beyond model and tokens: its origin, both tiers, cache writes, what else is billed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

# A copy: what this revision made stays what it was, whatever the schema becomes.
EVENT_LOG_VIEW = """
CREATE VIEW event_log AS
SELECT requested_at AS timestamp,
       model,
       NULL AS title,
       NULL AS summary,
       session_id AS conversation_id,
       coalesce(input_tokens, 0) AS prompt_tokens,
       coalesce(cached_input_tokens, 0) AS cached_prompt_tokens,
       coalesce(output_tokens, reasoning_tokens, 0) AS completion_tokens,
       coalesce(input_tokens, 0) + coalesce(output_tokens, reasoning_tokens, 0) AS total_tokens,
       coalesce(reasoning_tokens, 0) AS reasoning_tokens,
       CASE WHEN input_tokens IS NULL OR coalesce(output_tokens, reasoning_tokens) IS NULL
            THEN 0 ELSE 1 END AS usage_included,
       coalesce(cache_write_tokens, 0) + coalesce(cache_write_1h_tokens, 0) AS cache_write_prompt_tokens
FROM request_logs
WHERE deleted_at IS NULL
"""

EARLIER_EVENT_LOG_VIEW = """
CREATE VIEW event_log AS
SELECT requested_at AS timestamp,
       model,
       NULL AS title,
       NULL AS summary,
       session_id AS conversation_id,
       coalesce(input_tokens, 0) AS prompt_tokens,
       coalesce(cached_input_tokens, 0) AS cached_prompt_tokens,
       coalesce(output_tokens, reasoning_tokens, 0) AS completion_tokens,
       coalesce(input_tokens, 0) + coalesce(output_tokens, reasoning_tokens, 0) AS total_tokens,
       coalesce(reasoning_tokens, 0) AS reasoning_tokens,
       CASE WHEN input_tokens IS NULL OR coalesce(output_tokens, reasoning_tokens) IS NULL
            THEN 0 ELSE 1 END AS usage_included
FROM request_logs
WHERE deleted_at IS NULL
"""

TEXTS = {
    "instance_id": 200,
    "source": 20,
    "gateway": 200,
    "provider": 40,
    "requested_model": 200,
    "requested_service_tier": 40,
    "project": 200,
    "trace_id": 200,
    "response_id": 200,
    "auth_index": 200,
    "route": 200,
    "error_class": 40,
    "provider_cost_usd": 40,
}
COUNTS = (
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
)
DAY_COUNTS = ("cache_write_tokens", "cache_write_1h_tokens")


def upgrade() -> None:
    op.execute("DROP VIEW event_log")
    for name, length in TEXTS.items():
        op.add_column("request_logs", sa.Column(name, sa.String(length=length), nullable=True))
    for name in ("login", "streamed"):
        op.add_column("request_logs", sa.Column(name, sa.Boolean(), nullable=True))
    for name in COUNTS:
        op.add_column("request_logs", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("request_logs", sa.Column("extra_units", sa.Text(), nullable=True))
    for name in DAY_COUNTS:
        op.add_column(
            "daily_stats", sa.Column(name, sa.BigInteger(), nullable=False, server_default=sa.text("0"))
        )
    op.execute(EVENT_LOG_VIEW)


def downgrade() -> None:
    op.execute("DROP VIEW event_log")
    for name in DAY_COUNTS:
        op.drop_column("daily_stats", name)
    for name in (*TEXTS, "login", "streamed", *COUNTS, "extra_units"):
        op.drop_column("request_logs", name)
    op.execute(EARLIER_EVENT_LOG_VIEW)
