"""What the dashboards of API keys and of tokens ask, both by masked key."""

from __future__ import annotations

from dashboards.queries.query import RANGE, WINDOW, Query, counted, per_second, stepped
from metrics import proxy
from metrics.family import MetricFamily
from prometheus.config import RuleConfig
from prometheus.promql import increase, one_of, rate, select, share, total

BY_KEY = "{{api_key}}"
NOT_TELLING = ("short_key", "unknown")
"""What keys of at most eight letters, and missing ones, are shown as."""


def requests_by_key() -> Query:
    """Requests of each key over the panel's range, busiest first."""
    return Query(counted(select(proxy.API_KEY_REQUESTS), "api_key"), BY_KEY, instant=True)


def tokens_by_key() -> Query:
    """Input and output tokens of each key over the panel's range."""
    return Query(counted(select(proxy.KEY_TOKENS), "api_key"), BY_KEY, instant=True)


def tokens_by_direction() -> tuple[Query, Query]:
    """Prompt and completion tokens over the panel's range."""
    return (
        _over_range(proxy.KEY_PROMPT_TOKENS, "Prompt"),
        _over_range(proxy.KEY_COMPLETION_TOKENS, "Completion"),
    )


def token_rates(config: RuleConfig) -> tuple[Query, Query]:
    """Prompt and completion tokens a second."""
    return (
        stepped(Query(per_second(select(proxy.KEY_PROMPT_TOKENS)), "Prompt Tokens"), config),
        stepped(Query(per_second(select(proxy.KEY_COMPLETION_TOKENS)), "Completion Tokens"), config),
    )


def token_rate(config: RuleConfig) -> Query:
    """All tokens a second."""
    return stepped(Query(per_second(select(proxy.KEY_TOKENS)), "Tokens per second"), config)


def output_ratio_by_key() -> Query:
    """Completion tokens for each prompt token, over the panel's range."""
    prompt, completion = (
        total(increase(select(family), RANGE), "api_key")
        for family in (proxy.KEY_PROMPT_TOKENS, proxy.KEY_COMPLETION_TOKENS)
    )
    return Query(f"sort_desc({completion} / ({prompt} > 0))", BY_KEY, instant=True)


def request_rate_by_key(config: RuleConfig) -> Query:
    """Requests a second of each key."""
    return stepped(Query(per_second(select(proxy.API_KEY_REQUESTS), "api_key"), BY_KEY), config)


def share_without_key(config: RuleConfig) -> Query:
    """Share of requests whose key is missing, or too short to be one."""
    odd = rate(select(proxy.API_KEY_REQUESTS, one_of("api_key", NOT_TELLING)), WINDOW)
    return stepped(
        Query(share(odd, rate(select(proxy.API_KEY_REQUESTS), WINDOW)), "Short or missing"), config
    )


def budget_hits() -> Query:
    """Requests of each key that its budget refused over the panel's range."""
    counts = counted(select(proxy.BUDGET_HITS), "api_key", "period")
    return Query(counts, "{{api_key}} ({{period}})", instant=True)


def _over_range(family: MetricFamily, legend: str) -> Query:
    return Query(total(increase(select(family), RANGE)), legend, instant=True)
