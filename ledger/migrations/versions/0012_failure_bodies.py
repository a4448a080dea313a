"""What providers answered to requests that failed, where the configuration says that it is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "failure_bodies",
        sa.Column("event_id", sa.String(200), primary_key=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
    )
    op.create_index("idx_failure_bodies_at", "failure_bodies", ["at"])
