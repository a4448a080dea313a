"""What every panel is made of: its words, its time range, its queries; grafanalib stays behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from grafanalib import core

from dashboards.kit.links import Link
from dashboards.kit.plain import Json, merged, plain, without
from dashboards.queries.query import Query

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

_NO_LONGER_READ = {
    *("cacheTimeout", "color", "columns", "editable", "error", "fontSize", "height", "mappings"),
    *("maxPerRow", "minSpan", "repeatDirection", "span"),
}
_TARGETS_NO_LONGER_READ = {"metric", "query", "step", "target"}


@dataclass(frozen=True, slots=True)
class About:
    """What a panel shows, in words and units.

    Attributes:
        description: what is counted, over which time.
        unit: Grafana's id of the unit.
        no_value: why it may be empty; stands in place of the data.
        decimals: None lets Grafana choose.
        links: in the panel's corner.
        value_links: on each of its values.
    """

    title: str
    description: str
    unit: str
    no_value: str
    decimals: int | None = None
    axis: str = ""
    links: tuple[Link, ...] = ()
    value_links: tuple[Link, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A panel's own time range, in place of the dashboard's.

    Grafana reads `time_from` alone, and always ends at now; `time_to` says what is meant, and nothing
    depends on it: a query whose step is a day has its last point at the last midnight in any case.
    """

    time_from: str
    time_to: str | None = None


def on_an_axis(about: About, *, logarithmic: bool = False) -> About:
    """The words of a panel with an axis. Up to 11.3 Grafana writes the text for no value beside each hidden
    tick of a logarithmic or whole-numbered axis: there the description says it."""
    if not logarithmic and about.decimals != 0:
        return about
    return replace(about, description=f"{about.description} Empty: {about.no_value}.", no_value="")


def common(
    about: About, queries: Sequence[Query], span: Span | None, thresholds: list[dict[str, Any]]
) -> dict[str, Any]:
    """The arguments that every kind of panel takes.

    Args:
        span: None shows the dashboard's time range.
        thresholds: steps in ascending order; the first has no value and gives the colour below the next.
    """
    defaults: Json = {"noValue": about.no_value} if about.no_value else {}
    if about.value_links:
        defaults["links"] = [link.document() for link in about.value_links]
    return {
        "dataSource": DATASOURCE,
        "description": about.description,
        "extraJson": {
            "fieldConfig": {"defaults": defaults},
            "links": [link.document() for link in about.links],
            "timeTo": span.time_to if span else None,
        },
        "hideTimeOverride": span is not None,
        "maxDataPoints": None,
        "targets": [_target(query, chr(ord("A") + i)) for i, query in enumerate(queries)],
        "thresholds": thresholds,
        "timeFrom": span.time_from if span else None,
        "title": about.title,
    }


def mappings(unit: str, decimals: int | None) -> list[Json]:
    """Texts in place of values: dollars to the cent must not show a few cheap requests as nothing."""
    if (unit, decimals) != ("currencyUSD", 2):
        return []
    less = {"from": 1e-12, "to": 0.005, "result": {"text": "< $0.01"}}
    return [{"type": "range", "options": less}]


def override(name: str, **properties: Any) -> Json:
    """Properties, by Grafana's ids, of the series with this legend, or of those that a /pattern/ fits."""
    return {
        "matcher": {"id": "byRegexp" if name.startswith("/") else "byName", "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


def fixed(color: str) -> Json:
    return {"mode": "fixed", "fixedColor": color}


def finished(panel: object, extra: Json | None = None) -> Json:
    """The panel's JSON with `extra` merged in."""
    return without(merged(plain(panel), extra or {}), _NO_LONGER_READ)


def _target(query: Query, ref_id: str) -> Json:
    target = core.Target(
        datasource=DATASOURCE,
        expr=query.expr,
        instant=query.instant,
        interval=query.min_step,
        intervalFactor=1,
        legendFormat=query.legend,
        refId=ref_id,
    )
    return without(plain(target), _TARGETS_NO_LONGER_READ) | {
        "range": not query.instant,
        "editorMode": "code",
    }
