"""What is chosen at the top of a dashboard when it is opened for the first time."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from dashboards.kit.plain import Json
from dashboards.preview.grafana_time import Ask, View, interval_of, panel_range, rounded
from dashboards.preview.source import Series
from prometheus.promql import promql as duration


@dataclass(frozen=True, slots=True)
class Pick:
    """One variable.

    Attributes:
        text: what the viewer sees.
        value: what queries get.
    """

    name: str
    label: str
    text: str
    value: str


def picked(dashboard: Json, view: View, fetch: Callable[[Ask], list[Series]]) -> list[Pick]:
    """Every variable but the datasource: all of what can be chosen together, else the default or the first.

    Raises: TimeError, SourceError.
    """
    asked = [v for v in dashboard["templating"]["list"] if v["type"] != "datasource"]
    return [_pick(variable, view, fetch) for variable in asked]


def _pick(variable: Json, view: View, fetch: Callable[[Ask], list[Series]]) -> Pick:
    name, label = variable["name"], variable["label"]
    if variable["type"] == "interval":
        shown = panel_range({}, view)
        apart = max(rounded(shown.length / variable["auto_count"]), interval_of(variable["auto_min"]))
        return Pick(name, label, "", duration(apart))
    if variable["type"] == "custom":
        return Pick(name, label, variable["current"]["text"], variable["current"]["value"])
    if variable["includeAll"]:
        return Pick(name, label, "All", variable["allValue"])
    found = sorted(_answers(variable, view, fetch))
    text, value = found[0] if found else ("", "")
    return Pick(name, label, text, value)


def _answers(variable: Json, view: View, fetch: Callable[[Ask], list[Series]]) -> list[tuple[str, str]]:
    """Texts and values, as Grafana takes them out of a `query_result` by the variable's pattern."""
    expr = variable["query"].removeprefix("query_result(").removesuffix(")")
    end = panel_range({}, view).end
    pattern = variable["regex"].strip("/").replace("(?<", "(?P<")
    lines = (_line(series) for series in fetch(Ask(expr, end, end, view.scrape_interval, True, "")))
    matches = (re.search(pattern, line) for line in lines)
    return [(match["text"], match["value"]) for match in matches if match]


def _line(series: Series) -> str:
    return ",".join(f'{name}="{value}"' for name, value in sorted(series.labels.items()))
