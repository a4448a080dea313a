"""Alerts on requests: they fail, or they are slow."""

from __future__ import annotations

from metrics import proxy as proxy_metrics
from prometheus.alerts.alert import Alert
from prometheus.config import RuleConfig
from prometheus.promql import buckets, equal, increase, quantile, rate, select, share, total
from prometheus.promql import promql as duration


def alerts(config: RuleConfig) -> tuple[Alert, ...]:
    return error_ratio_high(config), latency_high(config)


def error_ratio_high(config: RuleConfig) -> Alert:
    """Too many requests fail; cancelled ones count as requests, never as failures."""
    window = duration(config.rate_window)
    gate = duration(config.traffic_gate_within)
    requests = proxy_metrics.REQUESTS
    whole = select(requests)
    return Alert(
        name="QuotascopeErrorRatioHigh",
        signal=share(rate(select(requests, equal("status", "error")), window), rate(whole, window), "job"),
        threshold=f"> {config.error_ratio_above:g}",
        only_if=f"{total(increase(whole, gate), 'job')} >= {config.error_requests_at_least}",
        lasting=config.error_ratio_for,
        keeping=config.traffic_keep_firing_for,
        severity="warning",
        summary="Many requests fail",
        description="{{ $value | humanizePercentage }} of the requests through {{ $labels.job }} failed in "
        f"the last {window}; cancelled requests are not counted as failed.",
    )


def latency_high(config: RuleConfig) -> Alert:
    """The slowest requests are too slow; cancelled ones are not measured."""
    window = duration(config.rate_window)
    gate = duration(config.traffic_gate_within)
    family = proxy_metrics.LATENCY
    return Alert(
        name="QuotascopeLatencyHigh",
        signal=f"{quantile(0.95, rate(buckets(family), window), 'job')} / 1000",
        threshold=f"> {config.latency_above.total_seconds():g}",
        only_if=f"{total(increase(family.count, gate), 'job')} >= {config.latency_requests_at_least}",
        lasting=config.latency_for,
        keeping=config.traffic_keep_firing_for,
        severity="warning",
        summary="Requests are slow",
        description="Of 100 requests through {{ $labels.job }} in the last "
        f"{window}, five took longer than {{{{ $value | humanizeDuration }}}}.",
    )
