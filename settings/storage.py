"""`[storage]`: where the ledger is, and how requests get into it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from settings.kinds import File, Section

FOREVER = "forever"
MIN_DAYS = 14
"""Quotas are estimated from two weeks of requests."""


def _period(text: str) -> str:
    days = re.fullmatch(r"([0-9]{1,5})d", text)
    if text != FOREVER and not (days and int(days[1]) >= MIN_DAYS):
        raise ValueError(f'allowed: days, like "90d", at least "{MIN_DAYS}d"; or "{FOREVER}"')
    return text


Period = Annotated[str, AfterValidator(_period)]


class Retention(Section):
    """How long the ledger keeps what; sums by day are kept for ever."""

    requests: Period = Field(
        FOREVER,
        description="how long requests are kept one by one, like 90d, at least 14d; all totals stay what "
        "they are",
    )
    hourly: Period = Field(
        FOREVER, description="how long sums by hour are kept, like 1100d: at least as long as requests"
    )

    @property
    def days(self) -> tuple[int | None, int | None]:
        """Both in days; None: for ever."""
        requests, hourly = (None if p == FOREVER else int(p[:-1]) for p in (self.requests, self.hourly))
        return requests, hourly

    @model_validator(mode="after")
    def _sums_outlive_requests(self) -> Retention:
        requests, hourly = self.days
        if hourly is not None and (requests is None or requests > hourly):
            raise ValueError(
                f"hourly = {self.hourly!r} is shorter than requests = {self.requests!r}; sums are kept at "
                "least as long"
            )
        return self


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
