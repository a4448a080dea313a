"""Every expression has an answer on a real Prometheus that has scraped every declared family: recording
rules, alerts without their comparison, and the queries of the runbook pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metrics.family import MetricFamily
from metrics.recorded import RECORDED
from prometheus.alerts import Alert, alerts
from prometheus.config import RuleConfig
from prometheus.lint.query import Query
from prometheus.lint.sources.reading import sources
from prometheus.rules import RecordingRule, recording_rules

PAGES = sources([Path(__file__).parents[2] / "runbooks"])
QUERIES = [query for page in PAGES for query in page.queries]
Ask = Callable[[str], list[Any]]


@pytest.mark.parametrize("rule", recording_rules(), ids=lambda rule: rule.name.name)
def test_a_rule_records_series_with_its_labels(rule: RecordingRule, ask_seeded: Ask) -> None:
    series = ask_seeded(rule.expr)
    assert series
    assert {frozenset(one["metric"]) for one in series} == {frozenset(rule.name.labels)}


@pytest.mark.parametrize("name", RECORDED, ids=str)
def test_what_is_recorded_is_there(name: MetricFamily, ask_seeded: Ask) -> None:
    series = ask_seeded(f"last_over_time({name}[2h])")
    assert {frozenset(one["metric"]) - {"__name__"} for one in series} == {frozenset(name.labels)}


@pytest.mark.parametrize("alert", alerts(RuleConfig()), ids=lambda alert: alert.name)
def test_the_signal_of_an_alert_is_there(alert: Alert, ask_seeded: Ask) -> None:
    values = [float(one["value"][1]) for one in ask_seeded(alert.signal)]
    assert values
    assert all(value == value for value in values), "NaN never compares"


@pytest.mark.parametrize(
    "query", QUERIES, ids=lambda query: f"{Path(query.place.file).stem}:{query.place.line}"
)
def test_a_query_of_a_page_has_an_answer(query: Query, ask_seeded: Ask) -> None:
    assert ask_seeded(query.expr)


def test_a_name_that_nobody_exports_has_none(ask_seeded: Ask) -> None:
    assert ask_seeded("codex_lb_proxy_request_total") == []
