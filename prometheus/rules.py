"""Recording rules: what dashboards ask over more than a day, kept at one point a minute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ledger.families import MetricFamily
from prometheus import names, promql
from prometheus.config import RuleConfig
from prometheus.durations import promql as duration
from proxy import metrics as proxy_metrics

GROUP = "quotascope-recording"


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """An expression whose value is stored under a recorded name, with that name's labels."""

    name: MetricFamily
    expr: str


def recording_rules() -> tuple[RecordingRule, ...]:
    """All recording rules."""
    return (
        # The process stays in the labels: a restart is then a reset that increase() sees, and a model
        # that turns up later adds to it without losing its first request.
        RecordingRule(names.COST, promql.total(promql.select(proxy_metrics.COST), *names.COST.labels)),
    )


def document(config: RuleConfig) -> dict[str, Any]:
    """The recording rules as a Prometheus rule file."""
    rules = [{"record": rule.name.name, "expr": rule.expr} for rule in recording_rules()]
    return {"groups": [{"name": GROUP, "interval": duration(config.evaluation_interval), "rules": rules}]}
