"""Queries of Grafana dashboards: panels, variables and annotations, of any schema version."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus.errors import SourceError
from prometheus.lint.finding import Place
from prometheus.lint.query import Query, Source
from prometheus.lint.sources.durations import parsed
from prometheus.lint.sources.lines import line_of

OUR_TAG = "quotascope"
_LEGEND = re.compile(r"\{\{\s*([A-Za-z_]\w*)\s*\}\}")
_LABEL_VALUES = re.compile(r"^label_values\((?:(?P<expr>.+),)?\s*(?P<label>[A-Za-z_]\w*)\s*\)$", re.DOTALL)
_QUERY_RESULT = re.compile(r"^query_result\((?P<expr>.+)\)$", re.DOTALL)


def is_dashboard(document: object) -> bool:
    """Whether this JSON is a dashboard, bare or as Grafana's API wraps it."""
    inner = _unwrapped(document)
    return isinstance(inner, dict) and (
        isinstance(inner.get("panels"), list) or isinstance(inner.get("rows"), list)
    )


def load(file: str, text: str) -> Source:
    """The queries of one dashboard.

    Raises: SourceError where it is no JSON, or no dashboard.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise SourceError(f"{file}: not JSON: {error}") from error
    if not is_dashboard(document):
        raise SourceError(f"{file}: not a dashboard: it has no list of panels")
    dashboard = _unwrapped(document)
    ours = OUR_TAG in (dashboard.get("tags") or ())
    variables = dict(_variables(dashboard))
    queries = [
        *(q for panel in _panels(dashboard) for q in _targets(file, text, panel, variables, ours)),
        *_variable_queries(file, text, dashboard, variables, ours),
        *_annotations(file, text, dashboard, variables, ours),
    ]
    return Source(file, "dashboard", tuple(queries), ours)


def _unwrapped(document: object) -> Any:
    if isinstance(document, dict) and isinstance(document.get("dashboard"), dict):
        return document["dashboard"]
    return document


def _list(holder: Any, key: str) -> list[dict[str, Any]]:
    found = holder.get(key) if isinstance(holder, dict) else None
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _panels(holder: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels, those in rows too."""
    for panel in (*_list(holder, "panels"), *_list(holder, "rows")):
        yield panel
        yield from _panels(panel)


def _variables(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for variable in _list(dashboard.get("templating"), "list"):
        current = variable.get("current")
        value = current.get("value", "") if isinstance(current, dict) else ""
        yield str(variable.get("name", "")), value if isinstance(value, str) else ""


def _asks_prometheus(holder: Mapping[str, Any]) -> bool:
    datasource = holder.get("datasource")
    kind = datasource.get("type") if isinstance(datasource, dict) else None
    return kind in (None, "prometheus", "")


def _targets(
    file: str, text: str, panel: Mapping[str, Any], variables: Mapping[str, str], ours: bool
) -> Iterator[Query]:
    title = str(panel.get("title") or "")
    for target in _list(panel, "targets"):
        expr = target.get("expr")
        if not isinstance(expr, str) or not expr.strip():
            continue
        if not _asks_prometheus(target if target.get("datasource") else panel):
            continue
        legend = str(target.get("legendFormat") or "")
        yield Query(
            Place(file, title, str(target.get("refId") or "?"), _line(text, expr)),
            expr,
            named=frozenset(_LEGEND.findall(legend)) - {"__name__"},
            texts=(legend, title, _uid(target), _uid(panel)),
            variables=variables,
            min_step=parsed(target.get("interval")) or parsed(panel.get("interval")),
            ours=ours,
        )


def _uid(holder: Mapping[str, Any]) -> str:
    datasource = holder.get("datasource")
    uid = datasource.get("uid") if isinstance(datasource, dict) else datasource
    return uid if isinstance(uid, str) else ""


def _variable_queries(
    file: str, text: str, dashboard: Mapping[str, Any], variables: Mapping[str, str], ours: bool
) -> Iterator[Query]:
    for variable in _list(dashboard.get("templating"), "list"):
        if variable.get("type") != "query" or not _asks_prometheus(variable):
            continue
        held = variable.get("query")
        asked = held.get("query") if isinstance(held, dict) else held
        asked = asked if isinstance(asked, str) else ""
        expr, named, lists = _listed(asked)
        if expr:
            place = Place(file, f"variable {variable.get('name')}", "", _line(text, asked))
            yield Query(place, expr, named, variables=variables, lists=lists, ours=ours)


def _listed(asked: str) -> tuple[str, frozenset[str], bool]:
    """The expression in a variable's query, the labels that it reads, and whether it reads names alone."""
    values = _LABEL_VALUES.match(asked.strip())
    if values and values["expr"]:
        return values["expr"].strip(), frozenset({values["label"]}), True
    result = _QUERY_RESULT.match(asked.strip())
    return (result["expr"].strip(), frozenset(), False) if result else ("", frozenset(), True)


def _annotations(
    file: str, text: str, dashboard: Mapping[str, Any], variables: Mapping[str, str], ours: bool
) -> Iterator[Query]:
    for annotation in _list(dashboard.get("annotations"), "list"):
        expr = annotation.get("expr")
        if isinstance(expr, str) and expr.strip() and _asks_prometheus(annotation):
            texts = (str(annotation.get("titleFormat") or ""), str(annotation.get("textFormat") or ""))
            named = frozenset(label for each in texts for label in _LEGEND.findall(each))
            place = Place(file, f"annotation {annotation.get('name')}", "", _line(text, expr))
            yield Query(
                place,
                expr,
                named - {"__name__"},
                variables=variables,
                min_step=parsed(annotation.get("step")),
                ours=ours,
            )


def _line(text: str, expr: str) -> int:
    return line_of(text, json.dumps(expr, ensure_ascii=False), json.dumps(expr))
