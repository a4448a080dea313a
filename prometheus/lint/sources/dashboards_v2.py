"""Grafana's dashboard schema v2 in the terms of the classic one: what is needed to read its queries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def is_v2(spec: Mapping[str, Any]) -> bool:
    """Panels are named elements there, and the layout stands apart."""
    return isinstance(spec.get("elements"), dict) and not isinstance(spec.get("panels"), list)


def as_classic(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The dashboard's tags, variables, annotations and panels, as the classic schema writes them."""
    return {
        "tags": spec.get("tags") or [],
        "panels": [_panel(element) for element in spec["elements"].values() if _is(element, "Panel")],
        "templating": {"list": [*map(_variable, _dicts(spec.get("variables")))]},
        "annotations": {"list": [*map(_annotation, _dicts(spec.get("annotations")))]},
    }


def _panel(element: Mapping[str, Any]) -> dict[str, Any]:
    spec = _spec(element)
    group = _spec(spec.get("data"))
    visual = _spec(spec.get("vizConfig"))
    return {
        "title": spec.get("title"),
        "interval": _at(group, "queryOptions").get("interval"),
        "fieldConfig": visual.get("fieldConfig"),
        "targets": [*_targets(group)],
    }


def _targets(group: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for query in map(_spec, _dicts(group.get("queries"))):
        asked = _at(query, "query")
        yield {**_spec(asked), "refId": query.get("refId"), "datasource": _datasource(asked, query)}


def _datasource(asked: Mapping[str, Any], holder: Mapping[str, Any]) -> dict[str, Any]:
    """v2beta1 names the plugin as the query's group, v2alpha1 as its kind, with the datasource beside it."""
    kind = asked.get("group") or (asked.get("kind") if asked.get("kind") != "DataQuery" else None)
    source = asked.get("datasource") or holder.get("datasource")
    found = source if isinstance(source, dict) else {}
    return {"type": found.get("type") or kind, "uid": found.get("uid") or found.get("name")}


def _variable(variable: Mapping[str, Any]) -> dict[str, Any]:
    spec = _spec(variable)
    if variable.get("kind") == "DatasourceVariable":
        return {**spec, "type": "datasource", "query": spec.get("pluginId")}
    if variable.get("kind") != "QueryVariable":
        return {**spec, "type": "custom"}
    asked = _at(spec, "query")
    return {**spec, "type": "query", "query": _spec(asked), "datasource": _datasource(asked, spec)}


def _annotation(annotation: Mapping[str, Any]) -> dict[str, Any]:
    spec = _spec(annotation)
    asked = _at(spec, "query")
    return {**_spec(asked), **spec, "datasource": _datasource(asked, spec)}


def _spec(holder: object) -> dict[str, Any]:
    return _at(holder, "spec")


def _at(holder: object, key: str) -> dict[str, Any]:
    found = holder.get(key) if isinstance(holder, dict) else None
    return found if isinstance(found, dict) else {}


def _is(element: object, kind: str) -> bool:
    return isinstance(element, dict) and element.get("kind") == kind


def _dicts(found: object) -> list[dict[str, Any]]:
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
