"""`[storage]`: where the ledger is, and how requests get into it."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from settings.kinds import File
from settings.retention import Retention
from settings.section import Section


class Storage(Section):
    database_path: File = Field(Path("usage.db"), description="the SQLite file of the ledger")
    database_url: str | None = Field(
        None, description="instead of database_path: postgresql://USER@HOST/NAME or sqlite:///PATH"
    )
    flush_interval_seconds: float = Field(
        0.5, gt=0, le=60, description="how long a finished request may wait in memory before it is stored"
    )
    buffer_size: int = Field(
        50_000, ge=100, le=5_000_000, description="finished requests kept while the ledger cannot be written"
    )
    instance_id: str | None = Field(
        None, max_length=200, description="what the rows of this machine are marked with; none: its host name"
    )
    outbox: bool = Field(
        True,
        description="with PostgreSQL: keep finished requests in a local file until the server has them",
    )
    outbox_path: File = Field(Path("outbox.db"), description="that file, shared by all workers of a machine")
    outbox_max_bytes: int = Field(
        10 * 2**30, ge=2**20, description="of the disk that it may take; then requests wait in memory"
    )
    failure_bodies: bool = Field(
        False,
        description="keep what providers answer to requests that fail, without keys, in a table of its own; "
        "`python -m ledger failure ID` alone shows it",
    )
    failure_body_days: float = Field(7.0, gt=0, le=3650, description="how long such an answer is kept")
    retention: Retention = Retention()
