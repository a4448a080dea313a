"""What the dashboard of routing asks."""

from __future__ import annotations

from dashboards.queries.identity import named
from dashboards.queries.query import (
    API,
    HOUR_BY_MINUTE,
    RANGE,
    RANGE_READ,
    READ_BUCKETS,
    STEP,
    Query,
    highest,
    hourly,
    per_minute,
    per_second,
    stepped,
)
from metrics import proxy
from metrics import recorded as names
from metrics.family import MetricFamily
from prometheus.config import RuleConfig
from prometheus.promql import Matcher, buckets, equal, increase, quantile, rate, select, total

NAME = "{{display}}"


def selections(config: RuleConfig) -> Query:
    """Tries to choose an account, a minute, by pool and by what came of it."""
    rates = per_minute(select(proxy.LB_SELECT), "pool", "outcome")
    return stepped(Query(f"{rates} > 0", "{{pool}}: {{outcome}}"), config)


def selection_success() -> Query:
    """Share of the tries that found an account. What the pinned pool does not have the full one may."""
    found = total(increase(select(proxy.LB_SELECT, equal("outcome", "selected")), RANGE_READ))
    failed = select(proxy.LB_SELECT, equal("pool", "full"), Matcher("outcome", "!=", "selected"))
    lost = f"({total(increase(failed, RANGE_READ))} or 0 * {found})"
    return Query(f"{found} / ({found} + {lost} > 0)", "Found", instant=True)


def requests_by_account() -> Query:
    """Requests over the panel's range, added up from recorded hours, for the busiest accounts."""
    return _ranked(names.HOURLY_ACCOUNT_REQUESTS.name)


def tier_share(config: RuleConfig) -> Query:
    """Which part of the chosen accounts each tier is."""
    chosen = select(proxy.LB_SELECTED_TIER)
    every = f"({per_second(chosen)} > 0)"
    return stepped(Query(f"{per_second(chosen, 'tier')} / on () group_left () {every}", "{{tier}}"), config)


def tier_score(config: RuleConfig) -> Query:
    """The score below which 95 of 100 chosen accounts of a tier were."""
    measured = rate(buckets(proxy.LB_TIER_SCORE), READ_BUCKETS)
    return stepped(Query(quantile(0.95, measured, "tier"), "{{tier}}"), config)


def marks(config: RuleConfig) -> Query:
    """Marks a minute by event."""
    return stepped(Query(per_minute(select(names.MARKS), "event"), "{{event}}"), config)


def permanent_failures() -> Query:
    """Permanent failures of each hour by code."""
    counts = total(increase(select(proxy.LB_PERMANENT), HOUR_BY_MINUTE), "code")
    return hourly(f"{counts} > 0", "{{code}}")


def retries(config: RuleConfig) -> Query:
    """Retries a minute by class of error."""
    return stepped(Query(per_minute(select(proxy.RETRIES, API), "error_class"), "{{error_class}}"), config)


def retries_by_account() -> Query:
    """Retries over the panel's range, added up from recorded hours, for the accounts with most of them."""
    return _ranked(names.HOURLY_ACCOUNT_RETRIES.name)


def unpriced(config: RuleConfig) -> Query:
    """Successful requests a minute without a price, by reason."""
    return stepped(Query(per_minute(select(proxy.UNPRICED, API), "reason"), "{{reason}}"), config)


def unmetered(config: RuleConfig) -> tuple[Query, Query]:
    """Requests a minute whose usage is not known, by path, and whose numbers make no sense, by API."""
    unknown = per_minute(select(proxy.UNMETERED, API), "path")
    odd = per_minute(select(proxy.IMPLAUSIBLE, API), "api")
    return (
        stepped(Query(unknown, "{{path}}"), config),
        stepped(Query(odd, "no sense: {{api}}"), config),
    )


def unpriced_by_account() -> Query:
    """Successful requests without a price over the panel's range, added up from recorded hours, for the
    accounts with most of them."""
    return _ranked(names.HOURLY_ACCOUNT_UNPRICED.name)


def refresh_failures(config: RuleConfig) -> Query:
    """Failed polls of quota and refreshes of tokens, a minute."""
    counts = per_minute(select(proxy.USAGE_REFRESH_FAILURES), "phase", "status_code")
    return stepped(Query(counts, "{{phase}} {{status_code}}"), config)


def snapshot_age(config: RuleConfig) -> Query:
    """Seconds since the accounts were last read, in the process that is furthest behind."""
    age = f"max(time() - {select(proxy.LB_UPDATED_AT)})"
    return stepped(Query(f"max_over_time({age}[{STEP}:1m])", "Age"), config)


def _ranked(family: MetricFamily) -> Query:
    counts = f"sum by (account_id) (sum_over_time({select(family)}[{RANGE}]))"
    return Query(f"sort_desc({named(highest(f'{counts} > 0'))})", NAME, instant=True)
