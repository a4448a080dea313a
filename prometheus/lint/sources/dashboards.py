"""Queries of Grafana dashboards: panels, variables and annotations, of any schema version."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus.errors import SourceError
from prometheus.lint.finding import Place
from prometheus.lint.query import Query, Source
from prometheus.lint.sources.dashboards_v2 import as_classic, is_v2
from prometheus.lint.sources.datasources import asks_prometheus, asks_victoria, uid
from prometheus.lint.sources.durations import parsed
from prometheus.lint.sources.lines import line_of

OUR_TAG = "quotascope"
_LEGEND = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_LABEL_VALUES = re.compile(r"^label_values\((?:(?P<expr>.+),)?\s*(?P<label>[A-Za-z_]\w*)\s*\)$", re.DOTALL)
_QUERY_RESULT = re.compile(r"^query_result\((?P<expr>.+)\)$", re.DOTALL)


def is_dashboard(document: object) -> bool:
    """Whether this JSON is a dashboard: bare, as Grafana's API wraps it, or as a Kubernetes resource."""
    inner = _unwrapped(document)
    if not isinstance(inner, dict):
        return False
    if is_v2(inner):
        return True
    if "schemaVersion" in inner:
        return True
    return any(key in inner and isinstance(inner[key], list | None) for key in ("panels", "rows"))


def load(file: str, text: str, whole: str = "") -> Source:
    """The queries of one dashboard.

    Args:
        whole: the file that this one stands in, to tell lines by.

    Raises: SourceError where it is no JSON, or no dashboard.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise SourceError(f"{file}: not JSON: {error}") from error
    if document == {}:
        return Source(file, "dashboard", ())
    if not is_dashboard(document):
        raise SourceError(f"{file}: not a dashboard: it has no list of panels")
    found = _unwrapped(document)
    dashboard = as_classic(found) if is_v2(found) else found
    scope = _Scope(
        file,
        whole or text,
        dict(_variables(dashboard)),
        dict(_plugins(dashboard)),
        OUR_TAG in (dashboard.get("tags") or ()),
    )
    queries = [
        *(q for panel in _panels(dashboard) for q in _targets(scope, panel)),
        *_variable_queries(scope, dashboard),
        *_annotations(scope, dashboard),
    ]
    return Source(file, "dashboard", tuple(queries), scope.ours)


@dataclass(frozen=True, slots=True)
class _Scope:
    """What all queries of one dashboard share.

    Attributes:
        variables: names that are defined, with their current values.
        plugins: the type of each datasource variable and import input.
    """

    file: str
    text: str
    variables: Mapping[str, str]
    plugins: Mapping[str, str]
    ours: bool

    @property
    def chosen(self) -> bool:
        return bool(self.variables.keys() - self.plugins.keys())


def _unwrapped(document: object) -> Any:
    """The dashboard inside Grafana's API answer or inside a resource of dashboard.grafana.app."""
    if not isinstance(document, dict):
        return document
    if isinstance(document.get("dashboard"), dict):
        return document["dashboard"]
    if str(document.get("apiVersion", "")).startswith("dashboard.grafana.app/"):
        return document.get("spec")
    return document


def _list(holder: Any, key: str) -> list[dict[str, Any]]:
    found = holder.get(key) if isinstance(holder, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _panels(holder: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, those in rows and those of the library that an export brings along."""
    for panel in (*_list(holder, "panels"), *_list(holder, "rows"), *_library(holder)):
        yield panel
        yield from _panels(panel)


def _library(holder: Mapping[str, Any]) -> list[dict[str, Any]]:
    elements = holder.get("__elements")
    found = elements.values() if isinstance(elements, dict) else elements or ()
    models = [element.get("model") for element in found if isinstance(element, dict)]
    return [model for model in models if isinstance(model, dict)]


def _variables(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for wanted in _list(dashboard, "__inputs"):
        yield str(wanted.get("name", "")), str(wanted.get("value") or "")
    for variable in _list(dashboard.get("templating"), "list"):
        current = variable.get("current")
        value = current.get("value", "") if isinstance(current, dict) else ""
        yield str(variable.get("name", "")), value if isinstance(value, str) else ""


def _plugins(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for wanted in _list(dashboard, "__inputs"):
        yield str(wanted.get("name", "")), str(wanted.get("pluginId") or "")
    for variable in _list(dashboard.get("templating"), "list"):
        if variable.get("type") == "datasource":
            yield str(variable.get("name", "")), str(variable.get("query") or "")


def _targets(scope: _Scope, panel: Mapping[str, Any]) -> Iterator[Query]:
    title = str(panel.get("title") or "")
    for target in _list(panel, "targets"):
        expr = target.get("expr")
        if not isinstance(expr, str) or not expr.strip():
            continue
        if not asks_prometheus(target if target.get("datasource") else panel, scope.plugins):
            continue
        legend = str(target.get("legendFormat") or "")
        yield Query(
            Place(scope.file, title, str(target.get("refId") or "?"), _line(scope.text, expr)),
            expr,
            named=frozenset(_LEGEND.findall(legend)) - {"__name__"},
            texts=(legend, title, uid(target), uid(panel)),
            variables=scope.variables,
            chosen=scope.chosen,
            min_step=parsed(target.get("interval")) or parsed(panel.get("interval")),
            unit=_unit(panel),
            victoria=asks_victoria(target if target.get("datasource") else panel, scope.plugins),
            ours=scope.ours,
        )


def _unit(panel: Mapping[str, Any]) -> str:
    config = panel.get("fieldConfig")
    defaults = config.get("defaults") if isinstance(config, dict) else None
    return str(defaults.get("unit") or "") if isinstance(defaults, dict) else ""


def _variable_queries(scope: _Scope, dashboard: Mapping[str, Any]) -> Iterator[Query]:
    for variable in _list(dashboard.get("templating"), "list"):
        if variable.get("type") != "query" or not asks_prometheus(variable, scope.plugins):
            continue
        held = variable.get("query")
        asked = held.get("query") if isinstance(held, dict) else held
        asked = asked if isinstance(asked, str) else ""
        expr, named, lists = _listed(asked)
        if expr:
            place = Place(scope.file, f"variable {variable.get('name')}", "", _line(scope.text, asked))
            yield Query(
                place,
                expr,
                named,
                variables=scope.variables,
                chosen=scope.chosen,
                lists=lists,
                ours=scope.ours,
            )


def _listed(asked: str) -> tuple[str, frozenset[str], bool]:
    """The expression in a variable's query, the labels that it reads, and whether it reads names alone."""
    values = _LABEL_VALUES.match(asked.strip())
    if values and values["expr"]:
        return values["expr"].strip(), frozenset({values["label"]}), True
    result = _QUERY_RESULT.match(asked.strip())
    return (result["expr"].strip(), frozenset(), False) if result else ("", frozenset(), True)


def _annotations(scope: _Scope, dashboard: Mapping[str, Any]) -> Iterator[Query]:
    for annotation in _list(dashboard.get("annotations"), "list"):
        expr = annotation.get("expr")
        if isinstance(expr, str) and expr.strip() and asks_prometheus(annotation, scope.plugins):
            texts = (str(annotation.get("titleFormat") or ""), str(annotation.get("textFormat") or ""))
            named = frozenset(label for each in texts for label in _LEGEND.findall(each))
            place = Place(scope.file, f"annotation {annotation.get('name')}", "", _line(scope.text, expr))
            yield Query(
                place,
                expr,
                named - {"__name__"},
                variables=scope.variables,
                chosen=scope.chosen,
                min_step=parsed(annotation.get("step")),
                victoria=asks_victoria(annotation, scope.plugins),
                ours=scope.ours,
            )


def _line(text: str, expr: str) -> int:
    return line_of(text, json.dumps(expr, ensure_ascii=False), json.dumps(expr))
