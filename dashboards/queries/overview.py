"""Every PromQL text of the dashboards, and how Grafana is to ask it.

Names come from the rooms that own them; `$model` and `$api` are the dashboard's variables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ledger.families import MetricFamily
from prometheus import names
from prometheus.config import RuleConfig
from prometheus.durations import promql as duration
from prometheus.errors import QueryError
from prometheus.promql import (
    buckets,
    equal,
    increase,
    matching,
    quantile,
    rate,
    select,
    share,
    total,
)
from proxy import metrics as proxy

MODEL = matching("model", "$model")
API = matching("api", "$api")

DAY = "1d"
RANGE = "$__range"
WINDOW = "$__rate_interval"

_QUANTILES = (0.5, 0.95, 0.99)
_KINDS = ("input", "cached_input", "output", "reasoning")


@dataclass(frozen=True, slots=True)
class Query:
    """One question to Prometheus.

    Attributes:
        legend: Grafana's name for each answer, `{{label}}` for a label's value.
        instant: asks once, at the end of the panel's range; otherwise at each step of it.
        min_step: Grafana's Min step; also replaces the scrape interval in `$__rate_interval`.
    """

    expr: str
    legend: str
    instant: bool = False
    min_step: str = ""


def cost_so_far() -> Query:
    """US dollars since the panel's range began."""
    return Query(total(increase(select(proxy.COST, MODEL), RANGE)), "Cost", instant=True)


def requests_so_far() -> Query:
    """Requests of every outcome since the panel's range began."""
    return Query(total(increase(select(proxy.REQUESTS, MODEL, API), RANGE)), "Requests", instant=True)


def cost_per_day() -> Query:
    """US dollars of the 24 hours before each midnight."""
    return Query(total(increase(select(proxy.COST, MODEL), DAY)), "Cost/day", min_step=DAY)


def requests_per_day() -> Query:
    """Requests of every outcome in the 24 hours before each midnight."""
    return Query(total(increase(select(proxy.REQUESTS, MODEL, API), DAY)), "Requests/day", min_step=DAY)


def cost_per_day_averaged() -> Query:
    """US dollars a day over the seven days before each midnight, from the recorded sums."""
    return Query(f"{total(increase(select(names.COST, MODEL), '7d'))} / 7", "7d average", min_step=DAY)


def cost_by_model() -> Query:
    """US dollars of each model over the panel's range, dearest first."""
    spent = total(increase(select(proxy.COST, MODEL), RANGE), "model")
    return Query(f"sort_desc({spent} > 0)", "{{model}}", instant=True)


def unpriced_by_reason() -> Query:
    """Successful requests without a price over the panel's range, where there were any."""
    counted = total(increase(select(proxy.UNPRICED, API), RANGE), "reason", "api")
    return Query(f"sort_desc({counted} > 0)", "{{reason}} ({{api}})", instant=True)


def requests_by_model(config: RuleConfig) -> Query:
    """Requests a minute of each model."""
    return _stepped(Query(_per_minute(select(proxy.REQUESTS, MODEL, API), "model"), "{{model}}"), config)


def error_ratio(config: RuleConfig) -> Query:
    """Share of requests that failed; cancelled ones are in the whole alone."""
    failed = rate(select(proxy.REQUESTS, equal("status", "error"), MODEL, API), WINDOW)
    whole = rate(select(proxy.REQUESTS, MODEL, API), WINDOW)
    return _stepped(Query(share(failed, whole), "Error rate"), config)


def tokens_by_kind(config: RuleConfig) -> tuple[Query, ...]:
    """Tokens a minute, one query for each kind."""
    return tuple(
        _stepped(Query(_per_minute(_tokens(kind)), kind.replace("_", " ")), config) for kind in _KINDS
    )


def cache_ratio(config: RuleConfig) -> Query:
    """Share of input tokens that the provider read from its cache."""
    cached, whole = (rate(_tokens(kind), WINDOW) for kind in ("cached_input", "input"))
    return _stepped(Query(share(cached, whole), "Cache ratio"), config)


def latency(config: RuleConfig) -> tuple[Query, ...]:
    """Milliseconds to the last byte: p50, p95, p99."""
    return _quantiles(proxy.LATENCY, config)


def time_to_first_token(config: RuleConfig) -> tuple[Query, ...]:
    """Milliseconds to the first token: p50, p95, p99."""
    return _quantiles(proxy.TIME_TO_FIRST_TOKEN, config)


def label_values(family: MetricFamily, label: str) -> str:
    """The query of a Grafana variable that lists a label's values.

    Raises: QueryError on a label that the family does not have.
    """
    if label not in family.labels:
        raise QueryError(f"{family.name} has no label {label!r}")
    return f"label_values({select(family)}, {label})"


def _quantiles(family: MetricFamily, config: RuleConfig) -> tuple[Query, ...]:
    measured = rate(buckets(family, MODEL, API), WINDOW)
    return tuple(_stepped(Query(quantile(q, measured), f"p{q * 100:g}"), config) for q in _QUANTILES)


def _tokens(kind: str) -> str:
    return select(proxy.TOKENS, equal("kind", kind), MODEL)


def _per_minute(selector: str, *by: str) -> str:
    return f"{total(rate(selector, WINDOW), *by)} * 60"


def _stepped(query: Query, config: RuleConfig) -> Query:
    # Grafana makes $__rate_interval at least four minimum steps long: the rules' own window.
    return replace(query, min_step=duration(config.panel_step))
