"""Who changed an account, and what a person said of an action that was proposed."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("account_audit", sa.Column("actor", sa.String(100)))
    op.create_table(
        "account_decisions",
        sa.Column("account_id", sa.String(200), primary_key=True),
        sa.Column("kind", sa.String(20), primary_key=True),
        sa.Column("decision", sa.String(20), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("actor", sa.String(100)),
    )
