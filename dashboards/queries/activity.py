"""What the dashboard of activity by hour asks: of some accounts, or of all traffic.

A thousand accounts are thousands of series. Where all are chosen, queries ask the counters without accounts
instead: the variable's value for all is a pattern that fits an empty label alone, and so the series that
have no label `account_id`, but none that has it.
"""

from __future__ import annotations

from dashboards.queries.query import ACCOUNT, API, HOUR_BY_MINUTE, Query, hourly
from metrics import proxy
from metrics import recorded as names
from metrics.family import MetricFamily
from prometheus.promql import Matcher, equal, increase, select, total, without_label

ALL = "^$"
"""Value of the variable where all accounts are chosen."""

_ON_PURPOSE = "# lint-ignore unknown-label: absent labels are what the pattern for all accounts fits\n"


def cost() -> Query:
    """US dollars of the hour before each full hour."""
    return _hourly(_either(proxy.ACCOUNT_COST, (API,), proxy.COST, ()), "Cost")


def requests() -> Query:
    """Requests of the hour, by outcome."""
    return _hourly(_either(proxy.ACCOUNT_REQUESTS, (API,), proxy.REQUESTS, (API,), "status"), "{{status}}")


def tokens() -> tuple[Query, Query, Query, Query]:
    """Tokens of the hour: input that was new, input from the provider's cache and written to it, output."""
    sent, cached, written, output = map(_tokens, ("input", "cached_input", "cache_write", "output"))
    return (
        _hourly(f"{sent} - ({cached} or 0 * {sent}) - ({written} or 0 * {sent})", "new input"),
        _hourly(cached, "cached input"),
        _hourly(written, "cache write"),
        _hourly(output, "output"),
    )


def errors() -> tuple[Query, Query]:
    """Failed requests of the hour: of some accounts by class, of all by the provider's code."""
    some = total(increase(select(proxy.ACCOUNT_ERRORS, ACCOUNT), HOUR_BY_MINUTE), "error_class")
    every = total(increase(without_label(select(proxy.ERRORS), ACCOUNT), HOUR_BY_MINUTE), "error_code")
    return hourly(f"{some} > 0", "{{error_class}}"), _hourly(f"{every} > 0", "{{error_code}}")


def unpriced() -> Query:
    """Successful requests of the hour without a price, by reason."""
    counts = _either(proxy.ACCOUNT_UNPRICED, (API,), proxy.UNPRICED, (API,), "reason")
    return _hourly(f"({counts}) > 0", "{{reason}}")


def _hourly(expr: str, legend: str) -> Query:
    return hourly(f"{_ON_PURPOSE}{expr}", legend)


def everything_is_chosen() -> str:
    """An answer where all accounts are chosen, else none."""
    return f"{_ON_PURPOSE}count({without_label(select(names.UP), ACCOUNT)})"


def _tokens(kind: str) -> str:
    of = equal("kind", kind)
    return f"({_either(proxy.ACCOUNT_TOKENS, (of, API), proxy.TOKENS, (of,))})"


def _either(
    of_accounts: MetricFamily,
    some: tuple[Matcher, ...],
    of_all: MetricFamily,
    every: tuple[Matcher, ...],
    *by: str,
) -> str:
    """Growth in the hour of some accounts, or of everything where all are chosen."""
    chosen = total(increase(select(of_accounts, ACCOUNT, *some), HOUR_BY_MINUTE), *by)
    whole = total(increase(without_label(select(of_all, *every), ACCOUNT), HOUR_BY_MINUTE), *by)
    return f"{chosen} or {whole}"
