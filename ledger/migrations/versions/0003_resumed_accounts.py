"""When a person last said that an account is well; what was noticed before does not count."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("resumed_at", sa.DateTime(), nullable=True))
    # Until now a new credential was the only such word.
    op.execute("UPDATE accounts SET resumed_at = credential_renewed_at")
