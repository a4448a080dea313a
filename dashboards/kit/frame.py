"""The dashboard around its panels, and the variables at its top; grafanalib stays behind."""

from __future__ import annotations

from grafanalib import core

from dashboards.kit import annotations as marks
from dashboards.kit.parts import DATASOURCE
from dashboards.kit.plain import Json, plain, without

SCHEMA_VERSION = 39
TAG = "quotascope"

_NO_LONGER_READ = {"__inputs", "gnetId", "hideControls", "rows", "sharedCrosshair", "style"}
_VARIABLES_NO_LONGER_READ = {"auto", "auto_count", "auto_min", "tagValuesQuery", "tagsQuery", "useTags"}


def dashboard(
    uid: str,
    title: str,
    description: str,
    panels: list[Json],
    variables: list[Json],
    tags: tuple[str, ...] = (),
    quota: bool = False,
) -> Json:
    """A dashboard in the viewer's own time zone, showing the last 24 hours.

    Args:
        tags: beside our own.
        quota: whether resets of quota are marked at first.
    """
    whole = core.Dashboard(
        annotations=core.Annotations(list=marks.every(quota)),
        title=title,
        uid=uid,
        description=description,
        editable=False,
        graphTooltip=core.GRAPH_TOOLTIP_MODE_SHARED_CROSSHAIR,
        links=[core.DashboardLink(asDropdown=True, includeVars=True, tags=[TAG], title="Quotascope")],
        panels=panels,
        refresh="30s",
        schemaVersion=SCHEMA_VERSION,
        tags=[TAG, *tags],
        templating=core.Templating(list=variables),
        time=core.Time("now-24h", "now"),
        timePicker=core.TimePicker(refreshIntervals=None, timeOptions=None),
        timezone="",  # what each user has chosen
    )
    return without(plain(whole), _NO_LONGER_READ)


def datasource_variable(name: str, label: str) -> Json:
    """A choice among the Prometheus datasources."""
    template = core.Template(name=name, label=label, type="datasource", query="prometheus", regex="")
    return without(plain(template), _VARIABLES_NO_LONGER_READ) | {"current": {}}


def label_variable(name: str, label: str, query: str, regex: str = "") -> Json:
    """A choice of any number of a label's values; at first all of them."""
    every = {"selected": True, "text": ["All"], "value": ["$__all"]}
    several = {"allValue": ".*", "includeAll": True, "multi": True, "current": every}
    return single_variable(name, label, query, regex) | several


def single_variable(name: str, label: str, query: str, regex: str = "") -> Json:
    """A choice of one answer of a query.

    Args:
        regex: takes `text` and `value` out of the answers of a `query_result`.
    """
    template = core.Template(
        name=name,
        label=label,
        query=query,
        dataSource=DATASOURCE,
        refresh=core.REFRESH_ON_TIME_RANGE_CHANGE,
        regex=regex or None,
        sort=core.SORT_ALPHA_ASC,
    )
    return without(plain(template), _VARIABLES_NO_LONGER_READ) | {"current": {}}


def resolution_variable(name: str, label: str, least: str, count: int) -> Json:
    """A time that nobody has to choose: the range divided by so much."""
    auto = {"selected": True, "text": "auto", "value": f"$__auto_interval_{name}"}
    return {
        "auto": True,
        "auto_count": count,
        "auto_min": least,
        "current": auto,
        "hide": 2,
        "label": label,
        "name": name,
        "options": [auto, {"selected": False, "text": least, "value": least}],
        "query": least,
        "refresh": 2,
        "type": "interval",
    }


def choice_variable(name: str, label: str, values: tuple[str, ...], default: str) -> Json:
    template = core.Template(name=name, label=label, query=",".join(values), type="custom", default=default)
    return without(plain(template), _VARIABLES_NO_LONGER_READ)
