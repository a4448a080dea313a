"""`[storage.retention]`: how long the ledger keeps what."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from settings.section import Section

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
