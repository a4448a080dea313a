"""What proxy keys were charged, day by day, and what each running proxy may still spend of their budgets."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "key_spend",
        sa.Column("key", sa.String(40), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("estimated_nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "key_holds",
        sa.Column("key", sa.String(40), primary_key=True),
        sa.Column("holder", sa.String(40), primary_key=True),
        sa.Column("nano_usd", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
    )
