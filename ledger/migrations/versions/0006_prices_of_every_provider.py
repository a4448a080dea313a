"""Prices by provider: cache writes, audio, images, long context and tiers as rates of their own, and why."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

TOKEN_RATES = (
    "cached_prompt_per_1m",
    "cache_write_per_1m",
    "cache_write_1h_per_1m",
    "audio_prompt_per_1m",
    "audio_completion_per_1m",
    "image_prompt_per_1m",
    "image_completion_per_1m",
)


def upgrade() -> None:
    op.drop_table("prices")  # its rows are written again when a proxy starts
    op.create_table(
        "prices",
        _row_id(),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("model_prefix", sa.String(length=200), nullable=False),
        sa.Column("effective_from", sa.DateTime(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("prompt_per_1m", sa.String(length=40), nullable=False),
        sa.Column("completion_per_1m", sa.String(length=40), nullable=False),
        *(sa.Column(name, sa.String(length=40), nullable=True) for name in TOKEN_RATES),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("context_tiers", "tiers", "units", "names")
        ),
        sa.Column("alias_of", sa.String(length=200), nullable=True),
        sa.Column("origin", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("as_of", sa.String(length=10), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("provider", "model_prefix", "effective_from", "origin"),
    )
    op.execute("INSERT INTO versions (name, version) VALUES ('prices', 0)")


def _row_id() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, autoincrement=True, nullable=False)
