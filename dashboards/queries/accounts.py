"""What the dashboard of accounts asks about traffic: ranked, each account by its name."""

from __future__ import annotations

from dashboards.queries.identity import named
from dashboards.queries.query import ACCOUNT, RANGE, Query, highest
from metrics import exporter, proxy
from metrics import recorded as names
from metrics.family import MetricFamily
from prometheus.config import RuleConfig
from prometheus.promql import promql as duration
from prometheus.promql import rate, select, total

NAME = "{{display}}"


def cost_per_hour(config: RuleConfig) -> Query:
    """US dollars an hour, at the speed of the last minutes."""
    return _ranked(f"{_now(proxy.ACCOUNT_COST, config)} * 3600")


def requests_per_minute(config: RuleConfig) -> Query:
    """Requests a minute of every outcome, in the last minutes."""
    return _ranked(f"{_now(proxy.ACCOUNT_REQUESTS, config)} * 60")


def cost_in_range() -> Query:
    """US dollars over the panel's range, added up from recorded hours."""
    return _ranked(_hours(names.HOURLY_ACCOUNT_COST.name))


def error_ratio_in_range(at_least: int) -> Query:
    """Failed requests through all, over the panel's range, from recorded hours.

    Args:
        at_least: requests; with fewer, one failure alone looks like trouble.
    """
    failed, whole = (
        _hours(hourly.name) for hourly in (names.HOURLY_ACCOUNT_ERRORS, names.HOURLY_ACCOUNT_REQUESTS)
    )
    return _ranked(f"{failed} / on (account_id) ({whole} >= {at_least})")


def by_status() -> Query:
    """Number of accounts in each state, those of all exporters together."""
    counts = f"sum by (status) ({select(exporter.ACCOUNTS)})"
    return Query(f"sort_desc({counts} > 0)", "{{status}}", instant=True)


def _ranked(expr: str) -> Query:
    return Query(f"sort_desc({named(highest(f'{expr} > 0'))})", NAME, instant=True)


def _now(family: MetricFamily, config: RuleConfig) -> str:
    return total(rate(select(family, ACCOUNT), duration(config.rate_window)), "account_id")


def _hours(family: MetricFamily) -> str:
    return f"sum by (account_id) (sum_over_time({select(family, ACCOUNT)}[{RANGE}]))"
