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
from dashboards.preview.grafana_time import substitute
from dashboards.queries.query import label_values
from metrics import collector as collector_metrics
from metrics import exporter as exporter_metrics
from metrics import proxy as proxy_metrics
from metrics.family import MetricFamily
from metrics.recorded import ALERTS, BUILT_IN, JOB_AND_INSTANCE, RECORDED
from prometheus.config import RuleConfig
from prometheus.errors import QueryError
from tests.support.cases import each

ROOT = Path(__file__).parent.parent.parent
SERVICES = (*proxy_metrics.FAMILIES, *exporter_metrics.FAMILIES, *collector_metrics.OWN)
FAMILIES = (*SERVICES, *RECORDED, *BUILT_IN, ALERTS)
LABELS = {
    series: {*family.labels, *JOB_AND_INSTANCE, *(["le"] if series.endswith("_bucket") else [])}
    for family in FAMILIES
    for series in family.series
}
BUILT_INS = {"__range": "3600s", "__range_s": "3600", "__rate_interval": "5m", "__interval": "1m"}
STAND_INS = {
    "model": ".*",
    "api": ".*",
    "account": ".*",
    "top": "20",
    "least": "5",
    "resolution": "2m",
    "fine": "1m",
    "coarse": "5m",
}

BUILT = dashboards(RuleConfig())

TARGETS = [
    (name, target)
    for name, dashboard in BUILT.items()
    for panel in dashboard["panels"]
    for target in panel.get("targets", ())
]
ANNOTATIONS = [
    pytest.param(mark["expr"], id=mark["name"])
    for mark in next(iter(BUILT.values()))["annotations"]["list"]
    if "expr" in mark
]
FILTERS = {"model": "model", "api": "api", "account": "account_id"}
"""The label that each variable chooses by."""


def variables(name: str) -> set[str]:
    """What one can choose on a dashboard."""
    chosen = BUILT[name]["templating"]["list"]
    return {variable["name"] for variable in chosen if variable["type"] != "datasource"}


def parsed(expr: str) -> pp.Expr:
    text = substitute(expr, STAND_INS | BUILT_INS)
    assert "$" not in text.replace('"$1"', "")
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


def labels(expr: Any) -> set[str]:
    """The labels that every answer of an expression is sure to have."""
    match expr:
        case pp.VectorSelector():
            return LABELS[expr.name or ""]
        case pp.MatrixSelector():
            return labels(expr.vector_selector)
        case pp.ParenExpr() | pp.SubqueryExpr() | pp.UnaryExpr():
            return labels(expr.expr)
        case pp.AggregateExpr():
            return aggregated(expr)
        case pp.BinaryExpr():
            return combined(expr)
        case pp.Call():
            return called(expr)
    return set()


def aggregated(expr: Any) -> set[str]:
    inside, by = labels(expr.expr), set(expr.modifier.labels) if expr.modifier else set()
    assert by <= inside, f"{by - inside} is lost before it is summed by"
    if str(expr.op) in ("topk", "bottomk"):
        return inside
    return by | ({expr.param.val} if str(expr.op) == "count_values" else set())


def combined(expr: Any) -> set[str]:
    left, right = labels(expr.lhs), labels(expr.rhs)
    if is_number(expr.lhs) or is_number(expr.rhs):
        return left | right
    matching = expr.modifier.matching if expr.modifier else None
    on = set(matching.labels) if matching else left & right
    assert on <= left & right, f"{on} is not on both sides"
    if str(expr.op) == "or":
        return left & right
    if str(expr.op) in ("and", "unless"):
        return left
    added = set(expr.modifier.group_labels or ()) if expr.modifier else set()
    assert added <= right, f"{added - right} cannot be taken from the right"
    if expr.modifier and expr.modifier.card == pp.VectorMatchCardinality.ManyToOne:
        return left | added
    return on if matching else left & right


def is_number(expr: Any) -> bool:
    """Whether it is one number, and no answer with labels."""
    return isinstance(expr, pp.NumberLiteral) or (isinstance(expr, pp.Call) and not expr.args)


def called(expr: Any) -> set[str]:
    inside = next((labels(argument) for argument in expr.args if not is_number(argument)), set())
    if expr.func.name == "label_replace":
        assert expr.args[3].val in {*inside, ""}
        return inside | {expr.args[1].val}
    return inside - {"le"} if expr.func.name == "histogram_quantile" else inside


@each(("name", "target"), TARGETS)
def test_a_query_asks_for_declared_or_recorded_names_and_their_labels(
    name: str, target: dict[str, Any]
) -> None:
    found = selectors(parsed(target["expr"]))
    assert found
    for selector in found:
        assert selector.name in LABELS
        asked = {(m.name, m.value) for m in selector.matchers.matchers}
        # Where all accounts are chosen, their pattern fits what has no such label: queries/activity.py.
        everything = {("account_id", STAND_INS["account"])} if name == "activity" else set()
        assert {label for label, _ in asked - everything} <= LABELS[selector.name]


@each(("name", "target"), TARGETS)
def test_a_legend_names_labels_that_its_query_keeps(name: str, target: dict[str, Any]) -> None:
    assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels(parsed(target["expr"]))


@pytest.mark.parametrize("expr", ANNOTATIONS)
def test_annotations_ask_like_panels(expr: str) -> None:
    assert labels(parsed(expr)) <= set(JOB_AND_INSTANCE)
    assert {selector.name for selector in selectors(parsed(expr))} <= set(LABELS)


@pytest.mark.parametrize(
    ("expr", "complaint"),
    [
        ("sum by (display) (sum by (account_id) (codex_lb_account_identity))", "display"),
        ("sum by (nothing) (up)", "nothing"),
        ("sum by (job) (up) * on (instance) up", "instance"),
        ("up * on (job) group_left (account_id) sum by (job) (up)", "account_id"),
    ],
)
def test_the_check_of_labels_would_notice(expr: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        labels(parsed(expr))


@each(("name", "target"), TARGETS)
def test_only_variables_that_the_dashboard_has_are_used(name: str, target: dict[str, Any]) -> None:
    used = set(re.findall(r"\$\{?([a-z_]+)", target["expr"]))
    assert used <= variables(name) | set(BUILT_INS)


@each(("name", "target"), TARGETS)
def test_the_filters_are_used_where_the_labels_exist(name: str, target: dict[str, Any]) -> None:
    """A panel that ignores a choice without need would show another thing than its neighbours."""
    wanted = {label for variable, label in FILTERS.items() if variable in variables(name)}
    # They ask whether there is anything, not what; or stand in where all accounts are chosen.
    guards = ("and on () (vector(", "unless on () ", " or (avg(", " or (sum(")
    expr = min((target["expr"].partition(guard)[0] for guard in guards), key=len)
    for selector in selectors(parsed(expr)):
        used = {matcher.name for matcher in selector.matchers.matchers}
        if selector.name != exporter_metrics.IDENTITY.name:
            assert wanted & LABELS[selector.name] <= used


def strings(path: Path) -> Iterator[str]:
    """Every text in a module's code."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize(
    "path", sorted((ROOT / "dashboards").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
@pytest.mark.slow
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
