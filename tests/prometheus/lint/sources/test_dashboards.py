from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from prometheus.lint.query import Source
from prometheus.lint.sources.dashboards import load


def source(**dashboard: Any) -> Source:
    return load("d.json", json.dumps({"panels": [], **dashboard}, indent=1))


def target(expr: str, **more: Any) -> dict[str, Any]:
    return {"refId": "A", "expr": expr, **more}


def test_panels_are_found_in_rows_old_and_new() -> None:
    inner = {"title": "inner", "targets": [target("up")]}
    folded = {"type": "row", "panels": [inner]}
    assert [q.place.panel for q in source(panels=[inner, folded]).queries] == ["inner", "inner"]
    assert [q.place.panel for q in load("d", json.dumps({"rows": [folded]})).queries] == ["inner"]


def test_only_prometheus_is_asked_in_promql() -> None:
    loki, prometheus = {"type": "loki", "uid": "l"}, {"type": "prometheus", "uid": "p"}
    panels = [
        {"title": "a", "datasource": loki, "targets": [target('{app="x"}')]},
        {"title": "b", "datasource": loki, "targets": [target("up", datasource=prometheus)]},
        {"title": "c", "datasource": "Prometheus", "targets": [target("up")]},
        {"title": "d", "targets": [{"refId": "A", "rawSql": "select 1"}, target(" ")]},
        {"title": "e", "type": "text"},
    ]
    assert [query.place.panel for query in source(panels=panels).queries] == ["b", "c"]


def test_a_query_brings_its_surroundings() -> None:
    panel = {
        "title": "of $model",
        "interval": ">30s",
        "datasource": {"uid": "${datasource}"},
        "targets": [target("up", legendFormat="{{ job }} {{__name__}} $api", interval="5m"), target("up")],
    }
    variables = {
        "list": [{"name": "model", "current": {"value": "m"}}, {"name": "all", "current": {"value": ["a"]}}]
    }
    first, second = source(panels=[panel], templating=variables, tags=["quotascope"]).queries
    assert first.named == {"job"}
    assert set(first.texts) >= {"of $model", "${datasource}"}
    assert first.variables == {"model": "m", "all": ""}
    assert (first.min_step, second.min_step) == (timedelta(minutes=5), timedelta(seconds=30))
    assert first.ours
    assert first.place.line > 1


def test_queries_of_variables_and_annotations() -> None:
    variables = [
        {"name": "a", "type": "query", "query": 'label_values(up{job="x"}, instance)'},
        {"name": "b", "type": "query", "query": {"query": "query_result(topk(1, up))"}},
        {"name": "c", "type": "query", "query": "label_values(instance)"},
        {"name": "d", "type": "custom", "query": "1,2"},
    ]
    notes = [{"name": "n", "expr": "changes(up[5m])", "titleFormat": "{{job}}", "step": "1m"}, {"name": "o"}]
    a, b, n = source(templating={"list": variables}, annotations={"list": notes}).queries
    assert (a.expr, a.named, a.lists) == ('up{job="x"}', frozenset({"instance"}), True)
    assert (b.expr, b.lists) == ("topk(1, up)", False)
    assert (n.place.panel, n.named, n.min_step) == ("annotation n", frozenset({"job"}), timedelta(minutes=1))
