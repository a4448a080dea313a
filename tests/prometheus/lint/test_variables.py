from __future__ import annotations

from datetime import timedelta

import promql_parser
import pytest

from prometheus.lint.finding import Place
from prometheus.lint.query import Query
from prometheus.lint.variables import substituted, undefined, used

SCRAPE = timedelta(seconds=15)


def query(expr: str, min_step: timedelta | None = None, **variables: str) -> Query:
    return Query(Place("f"), expr, variables=variables, min_step=min_step)


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("rate(x[$__rate_interval])", "rate(x[1m])"),
        ("rate(x[${__rate_interval}])", "rate(x[1m])"),
        ("rate(x[$__interval])", "rate(x[15s])"),
        ("increase(x[$__range])", "increase(x[1d])"),
        ("increase(x[${__range_s}s])", "increase(x[86400s])"),
        ('x{a=~"$model"}', 'x{a=~"$model"}'),
        ('x{a=~"${model:regex}"}', 'x{a=~"$model"}'),
        ("topk($top, x)", "topk(1, x)"),
        ("sum by ($label) (x)", "sum by (job) (x)"),
        ("sum by (a, [[label]]) (x)", "sum by (a, job) (x)"),
        ("rate(x[$window])", "rate(x[5m])"),
        ("max_over_time(x[1h:$window])", "max_over_time(x[1h:5m])"),
        ("x offset $window", "x offset 5m"),
    ],
)
def test_something_that_parses_stands_in(expr: str, expected: str) -> None:
    text = substituted(query(expr), SCRAPE)
    assert text == expected
    promql_parser.parse(text)


def test_current_values_are_taken_where_they_fit() -> None:
    asked = query(
        "topk($top, sum by ($label) (rate($metric[$window])))", top="5", label="api", window="1h", metric="up"
    )
    assert substituted(asked, SCRAPE) == "topk(5, sum by (api) (rate(up[1h])))"


def test_the_least_step_is_the_querys_own() -> None:
    day = timedelta(days=1)
    assert substituted(query("rate(x[$__rate_interval])", day), SCRAPE) == "rate(x[4d])"
    assert substituted(query("rate(x[$__interval])", day), SCRAPE) == "rate(x[1d])"


def test_every_spelling_is_seen() -> None:
    assert used('$a ${b} ${c:csv} [[d]] ${__field.labels.x} "$1" ${2}') == {"a", "b", "c", "d", "__field"}


def test_grafana_defines_some_by_itself() -> None:
    asked = query("x", model="m")
    assert undefined({"model", "__range", "__interval", "timeFilter", "modell"}, asked) == ["modell"]


def test_rules_have_none() -> None:
    assert undefined({"__rate_interval"}, Query(Place("f"), "x")) == ["__rate_interval"]
