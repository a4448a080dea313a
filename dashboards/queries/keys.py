"""What the dashboards of API keys and of tokens ask, both by masked key."""

from __future__ import annotations

from dashboards.queries.query import (
    RANGE,
    RANGE_READ,
    READ,
    Query,
    counted,
    per_minute,
    share_of_enough,
    stepped,
)
from metrics import proxy
from metrics import recorded as hours
from metrics.family import MetricFamily
from metrics.recorded import Hourly
from prometheus.config import RuleConfig
from prometheus.promql import increase, one_of, select, total

BY_KEY = "{{api_key}}"
SEEN = "20m"
NOT_TELLING = ("short_key", "unknown")
"""What keys of at most eight letters, and missing ones, are shown as."""


def requests_by_key() -> Query:
    """Requests of each key over the panel's range, busiest first."""
    return Query(counted(select(proxy.API_KEY_REQUESTS), "api_key"), BY_KEY, instant=True)


def tokens_in_full_hours() -> Query:
    """Prompt and completion tokens of each key over the panel's range, added up from recorded hours."""
    spent = f"{_hours(hours.HOURLY_KEY_PROMPT)} + {_hours(hours.HOURLY_KEY_COMPLETION)}"
    return Query(f"sort_desc({spent} > 0)", BY_KEY, instant=True)


def tokens_by_key() -> Query:
    """Input and output tokens of each key over the panel's range."""
    return Query(counted(select(proxy.KEY_TOKENS), "api_key"), BY_KEY, instant=True)


def usage_by_key() -> tuple[Query, ...]:
    """By key over the panel's range, by column: US dollars, share of all dollars, requests, prompt and
    completion tokens, failed requests, their share, seconds since the last request."""
    cost, requests = _hours(hours.HOURLY_KEY_COST), _hours(hours.HOURLY_KEY_REQUESTS)
    prompt, completion = _hours(hours.HOURLY_KEY_PROMPT), _hours(hours.HOURLY_KEY_COMPLETION)
    errors = f"({_hours(hours.HOURLY_KEY_ERRORS)} or 0 * {requests})"
    return tuple(
        Query(expr, BY_KEY, instant=True)
        for expr in (
            cost,
            f"{cost} / on () group_left () (sum({cost}) > 0)",
            f"{requests} > 0",
            f"{prompt} > 0",
            f"{completion} > 0",
            f"{errors} > 0",
            f"({errors} / ({requests} > 0)) > 0",
            _last_seen(),
        )
    )


def cost_by_key_and_model() -> Query:
    """US dollars of each key and model over the panel's range."""
    spent = total(f"sum_over_time({select(hours.HOURLY_KEY_COST.name)}[{RANGE}])", "api_key", "model")
    return Query(f"sort_desc({spent} > 0)", "{{api_key}} {{model}}", instant=True)


def _hours(hourly: Hourly) -> str:
    return total(f"sum_over_time({select(hourly.name)}[{RANGE}])", "api_key")


def _last_seen() -> str:
    """Seconds since the requests of a key last rose: to the minute in the last hour, else to within SEEN."""
    # lint-ignore counter-without-rate: whether it rose is asked, not by how much
    now = select(proxy.API_KEY_REQUESTS)
    lately, risen = (f"({now} - {now} offset {every} > 0)" for every in ("1m", SEEN))
    # After a scrape that failed, every series appears: for a minute that says nothing.
    earlier = f"{risen} or ({now} unless {now} offset {SEEN})"
    last = f"max_over_time(timestamp{lately}[1h:1m]) or max_over_time(timestamp({earlier})[{RANGE}:{SEEN}])"
    return f"time() - max by (api_key) ({last})"


def tokens_by_direction() -> tuple[Query, Query]:
    """Prompt and completion tokens over the panel's range."""
    return (
        _over_range(hours.PROMPT_TOKENS, "Prompt"),
        _over_range(hours.COMPLETION_TOKENS, "Completion"),
    )


def token_rates(config: RuleConfig) -> tuple[Query, Query]:
    """Prompt and completion tokens a minute."""
    return (
        stepped(Query(per_minute(select(proxy.KEY_PROMPT_TOKENS)), "Prompt Tokens"), config),
        stepped(Query(per_minute(select(proxy.KEY_COMPLETION_TOKENS)), "Completion Tokens"), config),
    )


def token_rate(config: RuleConfig) -> Query:
    """All tokens a minute."""
    return stepped(Query(per_minute(select(proxy.KEY_TOKENS)), "Tokens per minute"), config)


def output_ratio_by_key() -> Query:
    """Completion tokens for each prompt token, over the panel's range."""
    prompt, completion = (
        total(increase(select(family), RANGE_READ), "api_key")
        for family in (proxy.KEY_PROMPT_TOKENS, proxy.KEY_COMPLETION_TOKENS)
    )
    return Query(f"sort_desc({completion} / ({prompt} > 0))", BY_KEY, instant=True)


def request_rate_by_key(config: RuleConfig) -> Query:
    """Requests a minute of each key."""
    return stepped(Query(per_minute(select(proxy.API_KEY_REQUESTS), "api_key"), BY_KEY), config)


def share_without_key(config: RuleConfig) -> Query:
    """Share of requests whose key is missing, or too short to be one."""
    odd = increase(select(proxy.API_KEY_REQUESTS, one_of("api_key", NOT_TELLING)), READ)
    ratio = share_of_enough(odd, increase(select(proxy.API_KEY_REQUESTS), READ))
    return stepped(Query(ratio, "Short or missing"), config)


def budget_hits() -> Query:
    """Requests of each key that its budget refused over the panel's range."""
    counts = counted(select(proxy.BUDGET_HITS), "api_key", "period")
    return Query(counts, "{{api_key}} ({{period}})", instant=True)


def _over_range(family: MetricFamily, legend: str) -> Query:
    return Query(total(increase(select(family), RANGE)), legend, instant=True)
