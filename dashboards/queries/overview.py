"""What the Overview asks."""

from __future__ import annotations

from dataclasses import replace

from dashboards.queries.query import (
    API,
    DAY,
    MODEL,
    RANGE,
    WINDOW,
    Query,
    before_midnight,
    counted,
    per_minute,
    since_midnight,
    stepped,
    thinned,
)
from metrics import proxy
from metrics import recorded as names
from metrics.family import MetricFamily
from prometheus.config import RuleConfig
from prometheus.promql import buckets, equal, increase, quantile, rate, select, share, total

_QUANTILES = (0.5, 0.95, 0.99)
_KINDS = ("input", "cached_input", "cache_write", "output", "reasoning")


def cost_so_far() -> Query:
    """US dollars since the panel's range began."""
    spent = total(increase(select(proxy.COST, MODEL), RANGE))
    return Query(since_midnight(spent), "Cost", instant=True)


def cost_projected() -> Query:
    """US dollars of the whole day, where the panel's range began at its midnight.

    The rest of the day is taken from a week ago: 24 hours from this time of that day on, less what of them
    was after midnight. Without such a week, what the last 24 hours cost.
    """
    spent = select(names.COST, MODEL)
    day, early = (f"sum({increase(spent, window)[:-1]} offset 6d))" for window in (DAY, RANGE))
    projected = f"{total(increase(spent, RANGE))} + clamp_min({day} - {early}, 0)"
    whole = f"({projected} or {total(increase(spent, DAY))})"
    return Query(since_midnight(whole), "Projected", instant=True)


def requests_so_far() -> Query:
    """Requests of every outcome since the panel's range began."""
    counted = total(increase(select(proxy.REQUESTS, MODEL, API), RANGE))
    return Query(since_midnight(counted), "Requests", instant=True)


def cost_per_day() -> Query:
    """US dollars of the 24 hours before each midnight."""
    return Query(total(increase(select(proxy.COST, MODEL), DAY)), "Cost/day", min_step=DAY)


def cost_yesterday() -> Query:
    """US dollars of the 24 hours before the last midnight, as the last of several days."""
    days = cost_per_day()
    return replace(days, expr=before_midnight(days.expr))


def requests_yesterday() -> Query:
    """Requests of every outcome in the 24 hours before the last midnight, as the last of several days."""
    counted = total(increase(select(proxy.REQUESTS, MODEL, API), DAY))
    return Query(before_midnight(counted), "Requests/day", min_step=DAY)


def cost_per_day_averaged() -> Query:
    """US dollars a day over the seven days before each midnight, from the recorded sums."""
    # Every tenth recorded point is enough for a week, and still stands at each midnight.
    return Query(f"{total(increase(select(names.COST, MODEL), '7d:10m'))} / 7", "7d average", min_step=DAY)


def cost_by_model() -> Query:
    """US dollars of each model over the panel's range, dearest first."""
    return Query(counted(select(proxy.COST, MODEL), "model"), "{{model}}", instant=True)


def unpriced_by_reason() -> Query:
    """Successful requests without a price over the panel's range, where there were any."""
    counts = counted(select(proxy.UNPRICED, API), "reason", "api")
    return Query(counts, "{{reason}} ({{api}})", instant=True)


def requests_by_model(config: RuleConfig) -> Query:
    """Requests a minute of each model."""
    return stepped(Query(per_minute(select(proxy.REQUESTS, MODEL, API), "model"), "{{model}}"), config)


def error_ratio(config: RuleConfig) -> Query:
    """Share of requests that failed; cancelled ones are in the whole alone."""
    failed = rate(select(proxy.REQUESTS, equal("status", "error"), MODEL, API), WINDOW)
    whole = rate(select(proxy.REQUESTS, MODEL, API), WINDOW)
    return stepped(Query(share(failed, whole), "Error rate"), config)


def tokens_by_kind(config: RuleConfig) -> tuple[Query, ...]:
    """Tokens a minute, one query for each kind."""
    return tuple(stepped(Query(per_minute(_tokens(kind)), kind.replace("_", " ")), config) for kind in _KINDS)


def cache_ratio(config: RuleConfig) -> Query:
    """Share of input tokens that the provider read from its cache."""
    cached, whole = (rate(_tokens(kind), WINDOW) for kind in ("cached_input", "input"))
    return stepped(Query(share(cached, whole), "Cache ratio"), config)


def latency(config: RuleConfig) -> tuple[Query, ...]:
    """Milliseconds to the last byte: p50, p95, p99."""
    return _quantiles(proxy.LATENCY, config)


def time_to_first_token(config: RuleConfig) -> tuple[Query, ...]:
    """Milliseconds to the first token: p50, p95, p99."""
    return _quantiles(proxy.TIME_TO_FIRST_TOKEN, config)


def _quantiles(family: MetricFamily, config: RuleConfig) -> tuple[Query, ...]:
    measured = rate(buckets(family, MODEL, API), f"{WINDOW}:{thinned(config)}")
    return tuple(Query(quantile(q, measured), f"p{q * 100:g}") for q in _QUANTILES)


def _tokens(kind: str) -> str:
    return select(proxy.TOKENS, equal("kind", kind), MODEL)
