from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.proxy import LATENCY, REQUESTS
from prometheus.errors import QueryError
from prometheus.promql import (
    buckets,
    equal,
    increase,
    literal,
    matching,
    one_of,
    quantile,
    rate,
    select,
    share,
    total,
)


def test_selectors_read_like_promql() -> None:
    assert select(REQUESTS) == "codex_lb_proxy_requests_total"
    assert (
        select(REQUESTS, equal("status", "error"), matching("model", "$model"))
        == 'codex_lb_proxy_requests_total{status="error",model=~"$model"}'
    )
    assert buckets(LATENCY, equal("api", "responses")) == 'codex_lb_proxy_latency_ms_bucket{api="responses"}'


def test_expressions_read_like_promql() -> None:
    assert total(increase("x_total", "1d")) == "sum(increase(x_total[1d]))"
    assert total(rate("x_total", "5m"), "job", "model") == "sum by (job, model) (rate(x_total[5m]))"
    assert quantile(0.95, "r") == "histogram_quantile(0.95, sum by (le) (r))"


def test_labels_of_the_target_are_always_there() -> None:
    assert select(REQUESTS, equal("job", "x")) == 'codex_lb_proxy_requests_total{job="x"}'


def test_a_label_that_the_family_lacks_stops_the_build() -> None:
    with pytest.raises(QueryError, match=r"codex_lb_proxy_requests_total has no label 'account_id'.*model"):
        select(REQUESTS, equal("account_id", "a"))


def test_kinds_are_not_confused() -> None:
    with pytest.raises(QueryError, match="histogram"):
        select(LATENCY)
    with pytest.raises(QueryError, match="counter"):
        buckets(REQUESTS)


@given(st.text())
def test_any_value_survives_the_quotes(value: str) -> None:
    tree = promql_parser.parse(select(REQUESTS, equal("model", value)))
    assert isinstance(tree, promql_parser.VectorSelector)
    assert [(m.name, m.value) for m in tree.matchers.matchers] == [("model", value)]


@given(st.text(), st.text())
def test_a_literal_matches_itself_alone(text: str, other: str) -> None:
    assert re.fullmatch(literal(text), text)
    assert bool(re.fullmatch(literal(text), other)) == (text == other)


@given(st.lists(st.text("ab.|*-", min_size=1), min_size=1), st.text("ab.|*-", min_size=1))
def test_one_of_matches_its_values_alone(values: list[str], other: str) -> None:
    pattern = one_of("model", values).value
    assert bool(re.fullmatch(pattern, other)) == (other in values)


@pytest.mark.parametrize(
    ("failed", "whole", "expected"),
    [
        ("0+60x10", "0+240x10", [{"labels": "{}", "value": 0.25}]),
        (None, "0+10x10", [{"labels": "{}", "value": 0}]),
        ("0+0x10", "5+0x10", []),
        (None, None, []),
    ],
    ids=["a part", "no series of the part", "no traffic", "no series at all"],
)
def test_a_share_is_zero_or_absent_but_never_nan(
    failed: str | None,
    whole: str | None,
    expected: list[dict[str, Any]],
    run_rules: Callable[[Sequence[dict[str, Any]]], str],
) -> None:
    series = [("part_total", failed), ("whole_total", whole)]
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series if values],
        "promql_expr_test": [
            {
                "expr": share("rate(part_total[5m])", "rate(whole_total[5m])"),
                "eval_time": "10m",
                "exp_samples": expected,
            }
        ],
    }
    assert run_rules([case]) == ""


def test_what_is_built_is_what_prometheus_parses(
    promtool: Callable[..., subprocess.CompletedProcess[str]], built: Any
) -> None:
    rule_file = built / "one.yml"
    expr = quantile(0.5, rate(buckets(LATENCY, one_of("model", ['a"\\.b'])), "5m"))
    rule_file.write_text(
        f"groups:\n- name: g\n  rules:\n  - record: a:b:c\n    expr: |\n      {expr}\n", encoding="utf-8"
    )
    result = promtool("check", "rules", rule_file)
    assert result.returncode == 0, result.stdout
