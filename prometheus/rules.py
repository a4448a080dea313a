"""Recording rules: what dashboards ask over more than a day, kept at one point a minute or an hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from metrics import exporter as exporter_metrics
from metrics import proxy as proxy_metrics
from metrics import recorded as names
from metrics.family import MetricFamily
from prometheus import promql
from prometheus.config import RuleConfig
from prometheus.jobs import confined
from prometheus.promql import promql as duration

GROUP = "quotascope-recording"
HOURLY_GROUP = "quotascope-hourly"
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """An expression whose value is stored under a recorded name, with that name's labels."""

    name: MetricFamily
    expr: str


def recording_rules() -> tuple[RecordingRule, ...]:
    return (*by_the_minute(), *by_the_hour())


def by_the_minute() -> tuple[RecordingRule, ...]:
    return (
        # The process stays in the labels: a restart is then a reset that increase() sees, and a model
        # that turns up later adds to it without losing its first request.
        _summed(names.COST, proxy_metrics.COST),
        _summed(names.REQUESTS, proxy_metrics.REQUESTS),
        _summed(names.PROMPT_TOKENS, proxy_metrics.KEY_PROMPT_TOKENS),
        _summed(names.COMPLETION_TOKENS, proxy_metrics.KEY_COMPLETION_TOKENS),
        _summed(names.MARKS, proxy_metrics.LB_MARK),
        _summed(names.RESETS, exporter_metrics.SECONDARY_RESETS),
    )


def _summed(name: MetricFamily, counter: MetricFamily) -> RecordingRule:
    return RecordingRule(name, promql.total(promql.select(counter), *name.labels))


def by_the_hour() -> tuple[RecordingRule, ...]:
    """What counters rose by in each hour: the windows touch, as each is as long as the evaluation
    interval."""
    return tuple(
        RecordingRule(
            hourly.name,
            promql.total(promql.increase(promql.select(hourly.source), duration(HOUR)), *hourly.name.labels),
        )
        for hourly in names.HOURLY
    )


def document(config: RuleConfig) -> dict[str, Any]:
    """The recording rules as a Prometheus rule file."""
    return {
        "groups": [
            _group(GROUP, config.evaluation_interval, by_the_minute(), config),
            _group(HOURLY_GROUP, HOUR, by_the_hour(), config),
        ]
    }


def _group(
    name: str, interval: timedelta, rules: Sequence[RecordingRule], config: RuleConfig
) -> dict[str, Any]:
    recorded = [{"record": rule.name.name, "expr": confined(rule.expr, config)} for rule in rules]
    return {"name": name, "interval": duration(interval), "rules": recorded}
