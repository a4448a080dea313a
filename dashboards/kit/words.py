"""Phrases that several panels share, so that they say the same about the same."""

from __future__ import annotations

from dashboards.queries.query import MIN_REQUESTS
from prometheus.config import RuleConfig
from prometheus.promql import promql as duration

NO_TRAFFIC = "No requests in this range: is the proxy in use, and scraped?"

TOO_FEW = f"Fewer than {MIN_REQUESTS} requests in each interval of this range"

FULL_HOURS = (
    "Added up from recorded hours, so that a thousand accounts stay quick: at each end it may be off by an "
    "hour, and the first hour of a new installation is missing."
)


def averaged(config: RuleConfig, part: str = "hundredth") -> str:
    """What a rate in panels is an average of: see `panels.POINTS` and `RuleConfig.panel_step`."""
    return f"averaged over about a {part} of the time range, at least {duration(config.rate_window)}"


def of_requests(config: RuleConfig) -> str:
    """The same of quantiles: see `panels.FEW_POINTS`."""
    return averaged(config, "fiftieth")
