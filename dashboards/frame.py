"""The dashboard around its panels, and the variables at its top; grafanalib stays behind."""

from __future__ import annotations

from grafanalib import core

from dashboards.parts import DATASOURCE
from dashboards.plain import Json, plain, without

SCHEMA_VERSION = 39
TAG = "quotascope"

_NO_LONGER_READ = {"__inputs", "gnetId", "hideControls", "rows", "sharedCrosshair", "style"}
_VARIABLES_NO_LONGER_READ = {"auto", "auto_count", "auto_min", "tagValuesQuery", "tagsQuery", "useTags"}


def dashboard(uid: str, title: str, description: str, panels: list[Json], variables: list[Json]) -> Json:
    """A dashboard in the viewer's own time zone, showing the last 24 hours."""
    whole = core.Dashboard(
        title=title,
        uid=uid,
        description=description,
        editable=False,
        graphTooltip=core.GRAPH_TOOLTIP_MODE_SHARED_CROSSHAIR,
        panels=panels,
        refresh="30s",
        schemaVersion=SCHEMA_VERSION,
        tags=[TAG],
        templating=core.Templating(list=variables),
        time=core.Time("now-24h", "now"),
        timePicker=core.TimePicker(refreshIntervals=None, timeOptions=None),
        timezone="browser",
    )
    return without(plain(whole), _NO_LONGER_READ)


def datasource_variable(name: str, label: str) -> Json:
    """A choice among the Prometheus datasources."""
    template = core.Template(name=name, label=label, type="datasource", query="prometheus", regex="")
    return without(plain(template), _VARIABLES_NO_LONGER_READ) | {"current": {}}


def label_variable(name: str, label: str, query: str) -> Json:
    """A choice of any number of a label's values; at first all of them."""
    template = core.Template(
        name=name,
        label=label,
        query=query,
        dataSource=DATASOURCE,
        allValue=".*",
        includeAll=True,
        multi=True,
        refresh=core.REFRESH_ON_TIME_RANGE_CHANGE,
        sort=core.SORT_ALPHA_ASC,
    )
    every = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return without(plain(template), _VARIABLES_NO_LONGER_READ) | {"current": every}
