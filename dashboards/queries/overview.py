"""What the Overview asks."""

from __future__ import annotations

from dataclasses import replace

from dashboards.queries.query import (
    API,
    DAY,
    FINE,
    MODEL,
    RANGE,
    READ,
    READ_BUCKETS,
    Query,
    before_midnight,
    counted,
    highest,
    per_minute,
    share_of_enough,
    since_midnight,
    stepped,
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


def cost_against(days: int) -> Query:
    """How much more was spent since the panel's range began than in the same time so many days before."""
    spent = increase(select(proxy.COST, MODEL), RANGE)
    before = f"sum({spent[:-1]} offset {days}d))"
    return Query(since_midnight(f"({total(spent)} / ({before} > 0) - 1)"), "Difference", instant=True)


def cost_of_month() -> Query:
    """US dollars since the panel's range began, which may be a month ago."""
    return Query(since_midnight(_month()), "Cost", instant=True)


def limit_of_month(config: RuleConfig) -> Query:
    """The same as a share of what the daily limit allows for the whole month."""
    allowed = f"(days_in_month() * {config.spend_limit_usd:g})"
    return Query(since_midnight(f"({_month()} / {allowed})"), "Used", instant=True)


def _month() -> str:
    # Every tenth recorded point is enough for a month: it may be ten minutes late.
    return total(increase(select(names.COST, MODEL), f"{RANGE}:10m"))


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


ALL_MODELS = "all models"


def cost_by_model() -> tuple[Query, Query]:
    """Of each model over the panel's range, and of all together: US dollars, and the share of them."""
    spent = increase(select(names.COST, MODEL), FINE)
    each, whole = f"({total(spent, 'model')} > 0)", f"({total(spent)} > 0)"
    return (
        Query(_with_all(each, whole), "{{model}}", instant=True),
        Query(_with_all(f"{each} / on () group_left () {whole}", f"(0 * {whole} + 1)"), "{{model}}", True),
    )


def _with_all(each: str, whole: str) -> str:
    return f'({each}) or label_replace({whole}, "model", "{ALL_MODELS}", "", "")'


def cost_by_key() -> Query:
    """US dollars of each key over the panel's range, dearest first, for as many as are asked for."""
    return _dearest(names.HOURLY_KEY_COST.name, "api_key")


def cost_by_project() -> Query:
    """US dollars of each project over the panel's range, dearest first, for as many as are asked for."""
    return _dearest(names.HOURLY_PROJECT_COST.name, "project")


def _dearest(family: MetricFamily, label: str) -> Query:
    matchers = (MODEL,) if "model" in family.labels else ()
    spent = total(f"sum_over_time({select(family, *matchers)}[{RANGE}])", label)
    return Query(f"sort_desc({highest(f'({spent} > 0)')})", f"{{{{{label}}}}}", instant=True)


def unpriced_by_reason() -> Query:
    """Successful requests without a price over the panel's range, where there were any."""
    counts = counted(select(proxy.UNPRICED, API), "reason", "api")
    return Query(counts, "{{reason}} ({{api}})", instant=True)


def requests_by_model(config: RuleConfig) -> Query:
    """Requests a minute of each model."""
    return stepped(Query(per_minute(select(proxy.REQUESTS, MODEL, API), "model"), "{{model}}"), config)


def error_ratio(config: RuleConfig) -> Query:
    """Share of requests that failed, where there are enough; cancelled ones are in the whole alone."""
    failed = increase(select(proxy.REQUESTS, equal("status", "error"), MODEL, API), READ)
    ratio = share_of_enough(failed, increase(select(proxy.REQUESTS, MODEL, API), READ))
    return stepped(Query(ratio, "Error rate"), config)


def errors() -> Query:
    """Failed requests over the panel's range by model, where there were any."""
    failed = select(proxy.REQUESTS, equal("status", "error"), MODEL, API)
    return Query(counted(failed, "model"), "{{model}}", instant=True)


def tokens_by_kind(config: RuleConfig) -> tuple[Query, ...]:
    """Tokens a minute, one query for each kind."""
    return tuple(stepped(Query(per_minute(_tokens(kind)), kind.replace("_", " ")), config) for kind in _KINDS)


def cache_ratio(config: RuleConfig) -> Query:
    """Share of input tokens that the provider read from its cache."""
    cached, whole = (rate(_tokens(kind), READ) for kind in ("cached_input", "input"))
    return stepped(Query(share(cached, whole), "Cache ratio"), config)


def latency(config: RuleConfig) -> tuple[Query, ...]:
    """Milliseconds to the last byte: p50, p95, p99."""
    return _quantiles(proxy.LATENCY, config)


def latency_by_model(config: RuleConfig) -> Query:
    """Milliseconds to the last byte for 95 of 100 requests, by model."""
    measured = rate(buckets(proxy.LATENCY, MODEL, API), READ_BUCKETS)
    return stepped(Query(f"{quantile(0.95, measured, 'model')} >= 0", "{{model}}"), config)


def time_to_first_token(config: RuleConfig) -> tuple[Query, ...]:
    """Milliseconds to the first token: p50, p95, p99."""
    return _quantiles(proxy.TIME_TO_FIRST_TOKEN, config)


def _quantiles(family: MetricFamily, config: RuleConfig) -> tuple[Query, ...]:
    measured = rate(buckets(family, MODEL, API), READ_BUCKETS)
    # Without the times of no request, whose NaN would spoil the mean.
    return tuple(stepped(Query(f"{quantile(q, measured)} >= 0", f"p{q * 100:g}"), config) for q in _QUANTILES)


def _tokens(kind: str) -> str:
    return select(proxy.TOKENS, equal("kind", kind), MODEL)
