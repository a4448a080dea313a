"""Gateways that are collected from: their states, the times in which events may be missing, their errors."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "collector_gateways",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("instance_id", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("since", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("transport", sa.String(20)),
        sa.Column("problem", sa.Text()),
        sa.Column("version", sa.String(100)),
        sa.Column("last_event_at", sa.DateTime()),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("pending", sa.BigInteger(), nullable=False),
        sa.Column("undecodable", sa.BigInteger(), nullable=False),
        sa.Column("checks", sa.Text(), nullable=False),
    )
    op.create_table(
        "collector_gaps",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("gateway", sa.String(200), nullable=False),
        sa.Column("reason", sa.String(20), nullable=False),
        sa.Column("began_at", sa.DateTime(), nullable=False),
        sa.Column("ended_at", sa.DateTime()),
    )
    op.create_index("idx_gaps_began", "collector_gaps", ["began_at"])
    op.create_table(
        "collector_failures",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("gateway", sa.String(200), nullable=False),
        sa.Column("account_id", sa.String(200), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("provider", sa.String(40)),
        sa.Column("model", sa.String(200)),
        sa.Column("http_status", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(100), nullable=False),
        sa.Column("error_class", sa.String(40), nullable=False),
        sa.Column("message", sa.Text()),
        sa.Column("retryable", sa.Boolean(), nullable=False),
    )
    op.create_index("idx_failures_at", "collector_failures", ["at"])
