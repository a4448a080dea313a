"""What the dashboard of one account's hours asks."""

from __future__ import annotations

from dashboards.queries.query import ACCOUNT, API, HOUR, Query, hourly
from metrics import proxy
from prometheus.promql import equal, increase, select, total


def cost() -> Query:
    """US dollars of the hour before each full hour."""
    return hourly(total(increase(select(proxy.ACCOUNT_COST, ACCOUNT, API), HOUR)), "Cost")


def requests() -> Query:
    """Requests of the hour, by outcome."""
    counts = total(increase(select(proxy.ACCOUNT_REQUESTS, ACCOUNT, API), HOUR), "status")
    return hourly(counts, "{{status}}")


def tokens() -> tuple[Query, Query, Query, Query]:
    """Tokens of the hour: input that was new, input from the provider's cache and written to it, output."""
    sent, cached, written, output = map(_tokens, ("input", "cached_input", "cache_write", "output"))
    return (
        hourly(f"{sent} - ({cached} or 0 * {sent}) - ({written} or 0 * {sent})", "new input"),
        hourly(cached, "cached input"),
        hourly(written, "cache write"),
        hourly(output, "output"),
    )


def errors() -> Query:
    """Failed requests of the hour, by class."""
    counts = total(increase(select(proxy.ACCOUNT_ERRORS, ACCOUNT), HOUR), "error_class")
    return hourly(f"{counts} > 0", "{{error_class}}")


def unpriced() -> Query:
    """Successful requests of the hour without a price, by reason."""
    counts = total(increase(select(proxy.ACCOUNT_UNPRICED, ACCOUNT, API), HOUR), "reason")
    return hourly(f"{counts} > 0", "{{reason}}")


def _tokens(kind: str) -> str:
    return total(increase(select(proxy.ACCOUNT_TOKENS, equal("kind", kind), ACCOUNT, API), HOUR))
