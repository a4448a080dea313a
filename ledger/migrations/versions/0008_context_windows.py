"""The context window of a priced model."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("prices", sa.Column("context_window", sa.Integer(), nullable=True))
