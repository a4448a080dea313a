"""Every query of every dashboard: it parses, and asks for names and labels that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as pp
import pytest

from dashboards.build import dashboards
from dashboards.grafana_time import substitute
from dashboards.queries import label_values
from exporter import metrics as exporter_metrics
from ledger.families import MetricFamily
from prometheus.config import RuleConfig
from prometheus.errors import QueryError
from prometheus.names import BUILT_IN, JOB_AND_INSTANCE, RECORDED
from proxy import metrics as proxy_metrics

ROOT = Path(__file__).parent.parent.parent
FAMILIES = (*proxy_metrics.FAMILIES, *exporter_metrics.FAMILIES, *RECORDED, *BUILT_IN)
LABELS = {
    series: {*family.labels, *JOB_AND_INSTANCE, *(["le"] if series.endswith("_bucket") else [])}
    for family in FAMILIES
    for series in family.series
}
VARIABLES = {
    "model": ".*",
    "api": ".*",
    "__range": "3600s",
    "__rate_interval": "5m",
    "__interval": "1m",
}

EXPRESSIONS = [
    pytest.param(target["expr"], id=f"{panel['title']}-{target['refId']}")
    for dashboard in dashboards(RuleConfig()).values()
    for panel in dashboard["panels"]
    for target in panel.get("targets", ())
]


def parsed(expr: str) -> pp.Expr:
    text = substitute(expr, VARIABLES)
    assert "$" not in text
    return pp.parse(text)


def nodes(expr: Any) -> Iterator[Any]:
    """The expression and all its parts."""
    yield expr
    for attribute in ("lhs", "rhs", "expr", "vector_selector"):
        if (inner := getattr(expr, attribute, None)) is not None:
            yield from nodes(inner)
    for argument in getattr(expr, "args", ()) or ():
        yield from nodes(argument)


def selectors(expr: Any) -> list[Any]:
    return [node for node in nodes(expr) if isinstance(node, pp.VectorSelector)]


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_a_query_asks_for_declared_or_recorded_names_and_their_labels(expr: str) -> None:
    found = selectors(parsed(expr))
    assert found
    for selector in found:
        assert selector.name in LABELS
        assert {matcher.name for matcher in selector.matchers.matchers} <= LABELS[selector.name]


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_a_query_keeps_only_labels_that_are_there(expr: str) -> None:
    for node in nodes(parsed(expr)):
        if isinstance(node, pp.AggregateExpr) and node.modifier is not None:
            have = set.intersection(*(LABELS[selector.name] for selector in selectors(node)))
            assert set(node.modifier.labels) <= have


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_only_variables_that_the_dashboard_has_are_used(expr: str) -> None:
    assert set(re.findall(r"\$\{?(\w+)", expr)) <= set(VARIABLES)


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_the_filters_are_used_where_the_labels_exist(expr: str) -> None:
    """A panel that ignores a choice without need would show another thing than its neighbours."""
    for selector in selectors(parsed(expr)):
        used = {matcher.name for matcher in selector.matchers.matchers}
        assert {"model", "api"} & LABELS[selector.name] <= used


def test_the_labels_of_legends_are_kept_by_their_queries() -> None:
    for dashboard in dashboards(RuleConfig()).values():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                outer = next(n for n in nodes(parsed(target["expr"])) if isinstance(n, pp.AggregateExpr))
                kept = set(outer.modifier.labels) if outer.modifier else set()
                assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept


def strings(path: Path) -> Iterator[str]:
    """Every text in a module's code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize(
    "path", sorted((ROOT / "dashboards").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_name_of_a_metric_is_written_as_a_text(path: Path) -> None:
    names = [name for name in (*LABELS, *(f.name for f in FAMILIES)) if name != "up"]
    pattern = re.compile(rf"(?<![\w:])({'|'.join(map(re.escape, names))})(?![\w:])|codex_lb_")
    assert [text for text in strings(path) if pattern.search(text)] == []


def test_the_check_for_names_would_notice(tmp_path: Path) -> None:
    module = tmp_path / "m.py"
    module.write_text('QUERY = f"sum(codex_lb_proxy_cost_usd_total{{}})"\n')
    with pytest.raises(AssertionError):
        test_no_name_of_a_metric_is_written_as_a_text(module)


def test_label_values_are_asked_of_labels_that_exist() -> None:
    family = MetricFamily("x_total", "counter", "", ("model",))
    assert label_values(family, "model") == "label_values(x_total, model)"
    with pytest.raises(QueryError, match="x_total has no label 'api'"):
        label_values(family, "api")
