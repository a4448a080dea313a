"""Alerts: what somebody has to look at, when, and where the page about it is."""

from __future__ import annotations

from typing import Any

from prometheus.alerts import accounts, keys, pipeline, quota, spend, traffic
from prometheus.alerts.alert import Alert
from prometheus.config import RuleConfig
from prometheus.durations import promql as duration

__all__ = ["Alert", "alerts", "document"]

GROUP = "quotascope-alerts"
_SUBJECTS = (traffic, pipeline, quota, accounts, spend, keys)


def alerts(config: RuleConfig) -> tuple[Alert, ...]:
    """All alerts."""
    return tuple(alert for subject in _SUBJECTS for alert in subject.alerts(config))


def document(config: RuleConfig) -> dict[str, Any]:
    """The alerts as a Prometheus rule file."""
    rules = [alert.document(config) for alert in alerts(config)]
    return {"groups": [{"name": GROUP, "interval": duration(config.evaluation_interval), "rules": rules}]}
