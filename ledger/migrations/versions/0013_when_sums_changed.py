"""When requests of an hour, or of five minutes, last changed: what readers remember is true until then."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "request_changes",
        sa.Column("minutes", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("changed", sa.BigInteger(), nullable=False),
    )
