"""What a request says beyond model and tokens: its origin, both tiers, cache writes, what else is billed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

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
    op.execute("DROP VIEW IF EXISTS event_log")
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
