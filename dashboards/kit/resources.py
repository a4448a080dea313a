"""The same dashboards as resources of Grafana 13: its second schema, in a folder that Git Sync takes.

Panels are elements with names, rows are a layout of their own, and what was a number is a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dashboards.kit.plain import Json

API_VERSION = "dashboard.grafana.app/v2"
FOLDER_API_VERSION = "folder.grafana.app/v1"

_CURSOR = ("Off", "Crosshair", "Tooltip")
_HIDE = ("dontHide", "hideLabel", "hideVariable")
_REFRESH = ("never", "onDashboardLoad", "onTimeRangeChanged")
_SORT = ("disabled", "alphabeticalAsc", "alphabeticalDesc")
_OPTIONS = ("timeFrom", "timeTo", "timeShift", "maxDataPoints", "interval", "hideTimeOverride")
_MARKS_OWN = ("enable", "hide", "iconColor", "name", "datasource", "target")
"""Keys of an annotation that have a place of their own."""


def resource(dashboard: Json) -> Json:
    """A dashboard of the first schema as a resource of the second."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Dashboard",
        "metadata": {"name": dashboard["uid"]},
        "spec": _spec(dashboard),
    }


def folder(uid: str, title: str) -> Json:
    return {
        "apiVersion": FOLDER_API_VERSION,
        "kind": "Folder",
        "metadata": {"name": uid},
        "spec": {"title": title},
    }


def _spec(dashboard: Json) -> Json:
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    return {
        "annotations": [_annotation(mark) for mark in dashboard["annotations"]["list"]],
        "cursorSync": _CURSOR[dashboard["graphTooltip"]],
        "description": dashboard["description"],
        "editable": dashboard["editable"],
        "elements": {_name(panel): _panel(panel) for panel in panels},
        "layout": _of("RowsLayout", {"rows": list(_rows(dashboard["panels"]))}),
        "links": dashboard["links"],
        "preload": False,
        "tags": dashboard["tags"],
        "timeSettings": _times(dashboard),
        "title": dashboard["title"],
        "variables": [_variable(each) for each in dashboard["templating"]["list"]],
    }


def _of(kind: str, spec: Json) -> Json:
    return {"kind": kind, "spec": spec}


def _name(panel: Json) -> str:
    return f"panel-{panel['id']}"


def _times(dashboard: Json) -> Json:
    return {
        "timezone": dashboard["timezone"],
        "from": dashboard["time"]["from"],
        "to": dashboard["time"]["to"],
        "autoRefresh": dashboard["refresh"],
        "autoRefreshIntervals": ["5s", "10s", "30s", "1m", "5m", "15m", "30m", "1h", "2h", "1d"],
        "hideTimepicker": dashboard["timepicker"].get("hidden", False),
        "fiscalYearStartMonth": 0,
    }


def _panel(panel: Json) -> Json:
    data = {
        "queries": [_query(target) for target in panel["targets"]],
        "transformations": [
            {"kind": "Transformation", "group": each["id"], "spec": {"options": each["options"]}}
            for each in panel.get("transformations", ())
        ],
        "queryOptions": {key: panel[key] for key in _OPTIONS if key in panel},
    }
    look = {"options": panel["options"], "fieldConfig": {"overrides": []} | _with_least(panel["fieldConfig"])}
    return _of(
        "Panel",
        {
            "id": panel["id"],
            "title": panel["title"],
            "description": panel["description"],
            "links": panel["links"],
            "data": _of("QueryGroup", data),
            "vizConfig": {"kind": "VizConfig", "group": panel["type"], "version": "", "spec": look},
            "transparent": panel.get("transparent", False),
        },
    )


def _with_least(value: Any) -> Any:
    """The same with a value for each step of thresholds: the first has none in the first schema, null here.
    Grafana's types (npm's @grafana/schema) want it."""
    if isinstance(value, list):
        return [_with_least(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    made = {key: _with_least(inner) for key, inner in value.items()}
    return made | {"steps": [{"value": None, **step} for step in made["steps"]]} if "steps" in made else made


def _query(target: Json) -> Json:
    known = ("datasource", "refId", "hide")
    spec = {key: value for key, value in target.items() if key not in known}
    query = _data_query(target["datasource"], spec)
    return _of("PanelQuery", {"query": query, "refId": target["refId"], "hidden": target.get("hide", False)})


def _data_query(datasource: Mapping[str, str], spec: Json) -> Json:
    """A query is addressed by the datasource's name; Grafana takes a uid, or a variable, for one."""
    return {
        "kind": "DataQuery",
        "group": datasource["type"],
        "version": "v0",
        "datasource": {"name": datasource["uid"]},
        "spec": spec,
    }


def _rows(panels: Iterable[Json]) -> Iterable[Json]:
    """A row for each title, with the panels below it; places count from the row's own top."""
    items: list[Json] = []
    top = 0
    for panel in panels:
        if panel["type"] == "row":
            items, top = [], panel["gridPos"]["y"] + panel["gridPos"]["h"]
            layout = _of("GridLayout", {"items": items})
            row = {"title": panel["title"], "collapse": panel["collapsed"], "layout": layout}
            yield _of("RowsLayoutRow", row)
            continue
        place = panel["gridPos"]
        item = {"x": place["x"], "y": place["y"] - top, "width": place["w"], "height": place["h"]}
        element = {"kind": "ElementReference", "name": _name(panel)}
        items.append(_of("GridLayoutItem", item | {"element": element}))


def _annotation(mark: Json) -> Json:
    target = {key: value for key, value in mark["target"].items() if key != "refId"}
    others = {key: value for key, value in mark.items() if key not in _MARKS_OWN}
    spec = {
        "query": _data_query(mark["datasource"], target),
        "enable": mark["enable"],
        "hide": mark["hide"],
        "iconColor": mark["iconColor"],
        "name": mark["name"],
        "builtIn": False,
    }
    return _of("AnnotationQuery", spec | ({"legacyOptions": others} if others else {}))


def _variable(variable: Json) -> Json:
    common: Json = {
        "name": variable["name"],
        "label": variable["label"],
        "hide": _HIDE[variable["hide"]],
        "skipUrlSync": False,
        "current": variable["current"] or {"text": "", "value": ""},
        "options": variable["options"],
        "multi": variable.get("multi", False),
        "includeAll": variable.get("includeAll", False),
        "allowCustomValue": False,
    }
    if "allValue" in variable:
        common["allValue"] = variable["allValue"]
    return _VARIABLES[variable["type"]](variable, common)


def _from_query(variable: Json, common: Json) -> Json:
    query = _data_query(variable["datasource"], {"query": variable["query"], "refId": "Variable"})
    own = {
        "query": query,
        "definition": variable["query"],
        "refresh": _REFRESH[variable["refresh"]],
        "regex": variable.get("regex", ""),
        "sort": _SORT[variable["sort"]],
    }
    return _of("QueryVariable", common | own)


def _from_datasource(variable: Json, common: Json) -> Json:
    own: dict[str, Any] = {
        "pluginId": variable["query"],
        "refresh": _REFRESH[variable["refresh"]],
        "regex": variable["regex"],
    }
    return _of("DatasourceVariable", common | own)


def _from_choices(variable: Json, common: Json) -> Json:
    return _of("CustomVariable", common | {"query": variable["query"]})


def _from_range(variable: Json, common: Json) -> Json:
    unknown = ("multi", "includeAll", "allowCustomValue")
    own = {
        "query": variable["query"],
        "refresh": "onTimeRangeChanged",
        "auto": variable["auto"],
        "auto_min": variable["auto_min"],
        "auto_count": variable["auto_count"],
    }
    return _of("IntervalVariable", {k: v for k, v in common.items() if k not in unknown} | own)


_VARIABLES = {
    "query": _from_query,
    "datasource": _from_datasource,
    "custom": _from_choices,
    "interval": _from_range,
}
