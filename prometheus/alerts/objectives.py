"""Alerts on objectives: a month's allowance of failed or slow requests is going too fast.

Each asks a long window, so that one bad minute wakes nobody, and a short one, so that it ends soon after the
trouble does. The pace 1 would use the allowance up in exactly a month.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from metrics import proxy as proxy_metrics
from prometheus.alerts.alert import Alert
from prometheus.config import RuleConfig
from prometheus.promql import buckets, equal, increase, matching, rate, select, share, total

FAST = ("1h", "5m")
SLOW = ("6h", "30m")


def alerts(config: RuleConfig) -> tuple[Alert, ...]:
    failed, slow = _failures(config), _slowness(config)
    return (
        _burning(config, failed, "AvailabilityBurnFast", "fail", FAST, config.burn_fast_above, "critical"),
        _burning(config, failed, "AvailabilityBurnSlow", "fail", SLOW, config.burn_slow_above, "warning"),
        _burning(config, slow, "LatencyBurnFast", "are slow", FAST, config.burn_fast_above, "critical"),
        _burning(config, slow, "LatencyBurnSlow", "are slow", SLOW, config.burn_slow_above, "warning"),
    )


def _burning(
    config: RuleConfig,
    pace: Callable[[str], str],
    name: str,
    what: str,
    windows: tuple[str, str],
    above: float,
    severity: Literal["critical", "warning"],
) -> Alert:
    long, short = windows
    gate = (
        f"{total(increase(select(proxy_metrics.REQUESTS), long), 'job')} >= {config.error_requests_at_least}"
    )
    return Alert(
        name=f"Quotascope{name}",
        signal=pace(long),
        threshold=f"> {above:g}",
        only_if=f"(({pace(short)}) > {above:g} and {gate})",
        severity=severity,
        summary=f"Too many requests {what} for the objective",
        description=f"Requests through {{{{ $labels.job }}}} {what} "
        '{{ $value | printf "%.1f" }} times as often as the objective allows, '
        f"over the last {long} and the last {short}.",
    )


def _failures(config: RuleConfig) -> Callable[[str], str]:
    requests = proxy_metrics.REQUESTS
    allowed = 1 - config.availability_objective

    def pace(window: str) -> str:
        failed = rate(select(requests, equal("status", "error")), window)
        return f"({share(failed, rate(select(requests), window), 'job')}) / {allowed:.6g}"

    return pace


def _slowness(config: RuleConfig) -> Callable[[str], str]:
    family = proxy_metrics.LATENCY
    allowed = 1 - config.latency_objective
    bound = f"{config.latency_objective_within.total_seconds() * 1000:g}"

    def pace(window: str) -> str:
        # The bound is written with or without its decimal, as each Prometheus likes it.
        quick = total(rate(buckets(family, matching("le", rf"{bound}(\.0)?")), window), "job")
        return f"(1 - {quick} / ({total(rate(family.count, window), 'job')} > 0)) / {allowed:.6g}"

    return pace
