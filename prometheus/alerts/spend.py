"""Alerts on money: too much, much more than usual, or not counted.

A day is the last 24 hours: that needs no time zone, and does not start from nothing at midnight.
"""

from __future__ import annotations

from metrics import proxy as proxy_metrics
from metrics import recorded as names
from metrics.recorded import JOB_AND_INSTANCE
from prometheus.alerts.alert import Alert
from prometheus.config import RuleConfig
from prometheus.promql import equal, increase, rate, select, share, total
from prometheus.promql import promql as duration

DAY = "1d"


def alerts(config: RuleConfig) -> tuple[Alert, ...]:
    return (
        spend_above_limit(config),
        spend_unusual(config),
        requests_unpriced(config),
        usage_unmetered(config),
        usage_implausible(config),
    )


def spend_above_limit(config: RuleConfig) -> Alert:
    """More was spent in 24 hours than somebody is ready to pay."""
    return Alert(
        name="QuotascopeSpendAboveLimit",
        signal=_spent(),
        threshold=f"> {config.spend_limit_usd:g}",
        severity="warning",
        summary="The spend limit of 24 hours is exceeded",
        description='{{ $value | printf "%.2f" }} US dollars were spent in the last 24 hours; '
        f"the limit is {config.spend_limit_usd:g}.",
    )


def spend_unusual(config: RuleConfig) -> Alert:
    """Much more was spent in a day than on a mean day of the week before."""
    cost = select(names.COST)
    usual = f"{total(f'increase({cost}[7d] offset 1d)')} / 7"
    return Alert(
        name="QuotascopeSpendUnusual",
        # Without a whole week before it there is no usual.
        signal=f"{_spent()} / ({usual} > 0) and count({cost} offset 8d) > 0",
        threshold=f"> {config.spend_times_usual_above:g}",
        only_if=f"{_spent()} >= {config.spend_unusual_at_least_usd:g}",
        severity="warning",
        summary="Spend is much higher than usual",
        description='The last 24 hours cost {{ $value | printf "%.1f" }} times a mean day of the week '
        "before.",
    )


def requests_unpriced(config: RuleConfig) -> Alert:
    """Requests succeed that no price could be given to: the cost that is shown is too low."""
    window = duration(config.unpriced_within)
    unpriced = select(proxy_metrics.UNPRICED)
    priced = select(proxy_metrics.REQUESTS, equal("status", "success"))
    return Alert(
        name="QuotascopeRequestsUnpriced",
        signal=share(rate(unpriced, window), rate(priced, window), "job"),
        threshold=f"> {config.unpriced_share_above:g}",
        only_if=f"{total(increase(unpriced, window), 'job')} >= {config.unpriced_at_least}",
        severity="warning",
        summary="Requests have no price",
        description="{{ $value | humanizePercentage }} of the successful requests in the last "
        f"{window} could not be priced: the true cost is higher than what is shown.",
    )


def usage_unmetered(config: RuleConfig) -> Alert:
    """Requests succeed whose usage is not known: tokens and cost are too low."""
    window = duration(config.unpriced_within)
    return Alert(
        name="QuotascopeUsageUnmetered",
        signal=total(increase(select(proxy_metrics.UNMETERED), window), "job", "path"),
        threshold=f">= {config.unmetered_at_least}",
        severity="warning",
        summary="The usage of requests is not known",
        description='{{ $value | printf "%.0f" }} requests to {{ $labels.path }} succeeded in the last '
        f"{window} without anybody learning what they used: tokens and cost are too low.",
    )


def usage_implausible(config: RuleConfig) -> Alert:
    """Numbers are reported that make no sense, and left out."""
    window = duration(config.unpriced_within)
    return Alert(
        name="QuotascopeUsageImplausible",
        signal=total(increase(select(proxy_metrics.IMPLAUSIBLE), window), "job", "api"),
        threshold=f">= {config.unmetered_at_least}",
        severity="warning",
        summary="Reported usage makes no sense",
        description='{{ $value | printf "%.0f" }} answers of {{ $labels.api }} in the last '
        f"{window} reported counts that cannot be; they are left out of every sum.",
    )


def _spent() -> str:
    """US dollars of the last day. Of each process' sum, so that the first request of a new model counts."""
    spent = total(select(names.COST), *JOB_AND_INSTANCE)
    allowed = "# lint-ignore counter-without-rate: increase follows, over the sum of each process\n"
    return f"{allowed}sum(increase(({spent})[{DAY}:1m]))"
