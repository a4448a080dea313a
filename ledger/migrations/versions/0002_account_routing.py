"""Accounts that requests are routed to: credentials by reference, pools, marks, audit, conversations."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("credential", sa.String(length=1000), nullable=True))
    op.add_column("accounts", sa.Column("credential_renewed_at", sa.DateTime(), nullable=True))
    op.add_column("accounts", sa.Column("upstream_base_url", sa.String(length=1000), nullable=True))
    op.add_column("accounts", sa.Column("pool", sa.String(length=10), nullable=False, server_default="full"))
    op.add_column(
        "accounts", sa.Column("origin", sa.String(length=10), nullable=False, server_default="command")
    )
    op.create_table(
        "account_marks",
        sa.Column("account_id", sa.String(length=200), nullable=False),
        sa.Column("marked_at", sa.DateTime(), nullable=False),
        sa.Column("event", sa.String(length=20), nullable=False),
        sa.Column("code", sa.String(length=100), nullable=True),
        sa.Column("cooldown_until", sa.Float(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("account_id"),
    )
    op.create_table(
        "account_audit",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("account_id", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("origin", sa.String(length=20), nullable=False),
        sa.Column("from_status", sa.String(length=40), nullable=True),
        sa.Column("to_status", sa.String(length=40), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("idx_audit_account_time", "account_audit", ["account_id", "at"], unique=False)
    op.create_table(
        "versions",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.execute("INSERT INTO versions (name, version) VALUES ('accounts', 1)")
    op.create_table(
        "sticky_sessions",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=200), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("idx_sticky_updated", "sticky_sessions", ["updated_at"], unique=False)
