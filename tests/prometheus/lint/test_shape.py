"""Labels of results, as the linter derives them and as a real Prometheus answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import promql_parser
import pytest

from prometheus.config import RuleConfig
from prometheus.lint.schema import Schema, Series, ours
from prometheus.lint.shape import shape

R = "rate(codex_lb_proxy_requests_total[5m])"
A = "sum by (account_id) (rate(codex_lb_proxy_account_requests_total[5m]))"
IDENTITY = "codex_lb_account_identity"

EXPRESSIONS = [
    R,
    f"sum by (model, api) ({R})",
    f"sum without (model, instance) ({R})",
    f"sum({R})",
    f"topk(3, {R})",
    f'count_values("n", {R})',
    "histogram_quantile(0.9, rate(codex_lb_proxy_latency_ms_bucket[5m]))",
    "codex_lb_proxy_latency_ms_bucket",
    f'label_replace({A}, "display", "$1", "account_id", "(.*)")',
    f'label_join({A}, "both", "-", "account_id", "account_id")',
    f"{A} * on (account_id) group_left (display) topk by (account_id) (1, {IDENTITY})",
    f"topk by (account_id) (1, {IDENTITY}) * on (account_id) group_right (display) {A}",
    f"{A} / on (account_id) {A}",
    f"sum by (model, api) ({R}) / ignoring (api) group_left () sum by (model) ({R})",
    f"{R} * 2 > 0",
    f"100 - sum by (model) ({R})",
    f"-sum by (model) ({R})",
    f"({R})",
    f"sum by (model) ({R}) and on (model) {R}",
    "max_over_time(sum by (job) (up)[1h:5m])",
    'absent(nothing_of_the_kind{job="x", api=~"y"})',
    "vector(1)",
    "time() - max(codex_lb_exporter_newest_request_timestamp_seconds)",
    "job_instance_model:codex_lb_proxy_cost_usd:sum_total",
]


def labels(expr: str, schema: Schema) -> frozenset[str] | None:
    return shape(promql_parser.parse(expr), schema).labels


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_labels_are_those_of_the_answer(expr: str, ask_seeded: Callable[[str], list[Any]]) -> None:
    (first, *others) = [frozenset(series["metric"]) - {"__name__"} for series in ask_seeded(expr)]
    assert set(others) <= {first}
    assert labels(expr, ours(RuleConfig())) == first


@pytest.mark.parametrize(
    "expr", ["x", "sum by (a) (x) or x", "x * on (a) group_left (b) up", "rate(x[5m])", '{job="a"}']
)
def test_of_an_unknown_series_nothing_is_known(expr: str) -> None:
    assert labels(expr, Schema({"up": Series("up", "gauge", frozenset({"job"}))})) is None


def test_an_aggregation_makes_labels_known_again() -> None:
    assert labels("sum by (a) (x)", Schema()) == frozenset({"a"})
    assert labels("sum without (a) (x)", Schema()) is None
