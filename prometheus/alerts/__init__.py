"""Alerts: what somebody has to look at, when, and where the page about it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prometheus.alerts import accounts, gateways, keys, objectives, pipeline, quota, spend, traffic
from prometheus.alerts.alert import Alert
from prometheus.config import RuleConfig
from prometheus.errors import ConfigError
from prometheus.promql import promql as duration

__all__ = ["Alert", "alerts", "document"]

GROUP = "quotascope-alerts"
_SUBJECTS = (traffic, objectives, pipeline, gateways, quota, accounts, spend, keys)


def alerts(config: RuleConfig) -> tuple[Alert, ...]:
    """All alerts that are switched on, at the level that the configuration gives them.

    Raises: ConfigError where it names an alert that does not exist.
    """
    known = {alert.short_name: alert for subject in _SUBJECTS for alert in subject.alerts(config)}
    for name in config.alerts.keys() - known.keys():
        raise ConfigError(f"rules.alerts.{name}: no such alert; allowed: {', '.join(sorted(known))}")
    chosen = ((alert, config.alerts.get(name)) for name, alert in known.items())
    return tuple(
        alert if choice is None or choice.severity is None else replace(alert, severity=choice.severity)
        for alert, choice in chosen
        if choice is None or choice.enabled
    )


def document(config: RuleConfig) -> dict[str, Any]:
    """The alerts as a Prometheus rule file."""
    rules = [alert.document(config) for alert in alerts(config)]
    return {"groups": [{"name": GROUP, "interval": duration(config.evaluation_interval), "rules": rules}]}
