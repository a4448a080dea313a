"""Until when a provider said to wait, apart from how long proxies leave an account alone on their own."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("account_marks", sa.Column("wait_until", sa.Float(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE account_marks SET wait_until = cooldown_until, cooldown_until = 0 WHERE event <> 'error'"
    )
