"""Panels as plain JSON; grafanalib stays behind this module, `tables.py`, `parts.py` and `frame.py`.

What grafanalib would leave to chance is said here and in `parts.py`: the step of a query and whether it asks
for a range or an instant, the reduction of a stat, thresholds as a list, and no key that Grafana no longer
reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grafanalib import core

from dashboards.kit.parts import (
    About,
    Span,
    common,
    finished,
    fixed,
    mappings,
    on_an_axis,
    override,
)
from dashboards.kit.plain import Json, plain
from dashboards.queries.query import Query

SERIES_NAME = "${__series.name}"

BAR_HEIGHT = 44
"""Pixels: above 40, Grafana writes the name of a bar above it, where there is room for an e-mail address."""

_BAR_TEXT = {"titleSize": 13, "valueSize": 15}
"""Left to itself, the text of a few bars is as large as there is room, and an e-mail address is cut."""

_GREY = "#464c54"

POINTS = 100
"""Of a line over the panel's range. LLM requests are few: with a point for each pixel, the windows of rates
would be so short that a single request is a spike. So a point stands for a hundredth of what is looked at."""

FEW_POINTS = 50
"""Of quantiles: each reads all buckets, and needs more requests than a mean to say something."""

SLOW_POINTS = 30
"""Of what all accounts have used of their weeks: every point asks for several gauges of each account."""


def stat(
    about: About,
    query: Query,
    span: Span | None = None,
    color: str = "text",
    limits: Mapping[float, str] | None = None,
) -> Json:
    """One number: the last that the query answers with.

    Args:
        limits: from which value on it has another colour.
    """
    made = core.Stat(
        **common(about, [query], span, _from_zero(color, limits)),
        colorMode="value",
        decimals=about.decimals,
        format=about.unit,
        graphMode="none",
        mappings=mappings(about.unit, about.decimals),
        noValue=about.no_value,
        reduceCalc="lastNotNull",
        textMode="value",
    )
    return finished(made, {"options": {"wideLayout": True}})


def lights(about: About, query: Query, on: str, off: str) -> Json:
    """One tile for each answer of an instant query: green where it is 1, red where it is less.

    Args:
        on, off: what the tiles say.
    """
    made = core.Stat(
        **common(about, [query], None, _from_zero("red", {1: "green"}, nothing=_GREY)),
        colorMode="background",
        format=about.unit,
        graphMode="none",
        mappings=[{"type": "value", "options": {"0": {"text": off}, "1": {"text": on}}}],
        noValue=about.no_value,
        orientation="auto",
        reduceCalc="lastNotNull",
        textMode="value_and_name",
    )
    # Left to itself, the text is as large as the tile.
    small = {"text": {"titleSize": 13, "valueSize": 22}}
    return finished(made, {"fieldConfig": {"defaults": {"displayName": SERIES_NAME}}, "options": small})


def timeseries(
    about: About,
    queries: Sequence[Query],
    *,
    stacked: bool = False,
    logarithmic: bool = False,
    most: int | None = None,
    limit: float | None = None,
    colors: Mapping[str, str] | None = None,
    dashed: Sequence[str] = (),
    summary: bool = False,
    points: int = POINTS,
) -> Json:
    """Lines over time.

    Args:
        stacked: only for parts that add up to a whole.
        logarithmic: for values that lie a hundredfold apart.
        most: upper end of the axis.
        limit: a dashed line, where trouble begins.
        colors: by legend; others are Grafana's choice.
        dashed: legends of lines that others are compared with.
        points: of a line; fewer where each asks for something of every account.
        summary: the legend is a table of the last, the mean and the highest value.
    """
    about = on_an_axis(about, logarithmic=logarithmic)
    steps = [{"color": "green"}] + ([] if limit is None else [{"color": "red", "value": limit}])
    made = core.TimeSeries(
        **common(about, queries, None, steps) | {"maxDataPoints": points},
        **_axes(about) | {"axisSoftMin": None if logarithmic else 0} | (_SUMMARY if summary else {}),
        fillOpacity=60 if stacked else 0 if logarithmic else 8,
        lineWidth=0 if stacked else 1,  # a part that is 0 would draw its line along the top of the others
        scaleDistributionLog=10,
        scaleDistributionType="log" if logarithmic else "linear",
        overrides=[
            *(override(name, color=fixed(color)) for name, color in (colors or {}).items()),
            *(override(name, **_DASHED) for name in dashed),
        ],
        stacking={"mode": "normal" if stacked else "none", "group": "A"},
        thresholdsStyleMode="off" if limit is None else "dashed",
        valueMax=most,
    )
    # The limit shall be in sight while all is well below it.
    soft = {} if limit is None else {"axisSoftMax": 2 * limit}
    extra: Json = {"fieldConfig": {"defaults": {"custom": soft}}}
    intervals = [query.interval for query in queries if query.interval]
    return finished(made, extra | ({"interval": intervals[0]} if intervals else {}))


def bars(about: About, bar: Query, line: Query, span: Span) -> Json:
    """Bars, each standing before the moment at which it was asked, and a line across them."""
    about = on_an_axis(about)
    made = core.TimeSeries(
        **common(about, [bar, line], span, [{"color": "green"}]),
        **_axes(about),
        barAlignment=-1,
        drawStyle="bars",
        fillOpacity=70,
        lineWidth=0,
        overrides=[
            override(bar.legend, color=fixed("blue")),
            override(
                line.legend,
                color=fixed("orange"),
                **{"custom.drawStyle": "line", "custom.lineWidth": 2, "custom.fillOpacity": 0},
            ),
        ],
        showPoints="never",
        stacking={"mode": "none", "group": "A"},
    )
    return finished(made, {"fieldConfig": {"defaults": {"custom": {"barWidthFactor": 0.8}}}})


def hours(about: About, queries: Sequence[Query], colors: Mapping[str, str] | None = None) -> Json:
    """Stacked bars, each standing before the full hour at which it was asked."""
    about = on_an_axis(about)
    made = core.TimeSeries(
        **common(about, queries, None, [{"color": "green"}]),
        **_axes(about),
        barAlignment=-1,
        drawStyle="bars",
        fillOpacity=70,
        lineWidth=0,
        overrides=[override(name, color=fixed(color)) for name, color in (colors or {}).items()],
        showPoints="never",
        stacking={"mode": "normal", "group": "A"},
    )
    return finished(made, {"fieldConfig": {"defaults": {"custom": {"barWidthFactor": 0.8}}}})


def bar_gauge(
    about: About,
    queries: Sequence[Query],
    color: str = "blue",
    limits: Mapping[float, str] | None = None,
    most: float | None = None,
) -> Json:
    """One horizontal bar for each answer of instant queries.

    Args:
        limits: from which value on a bar has another colour.
        most: what a full bar stands for; None takes the largest value.
    """
    made = core.BarGauge(**common(about, queries, None, _from_zero(color, limits)))
    # Grafana names a lone bar by nothing, unless it is told to.
    defaults = {
        "unit": about.unit,
        "decimals": about.decimals,
        "min": 0,
        "mappings": mappings(about.unit, about.decimals),
    }
    defaults["displayName"] = SERIES_NAME
    options = {
        "displayMode": "basic",
        "maxVizHeight": 60,  # read from 10.3 on: one bar alone is no wall
        "minVizHeight": BAR_HEIGHT,
        "namePlacement": "top",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showUnfilled": True,
        "sizing": "manual",
        "text": _BAR_TEXT,
        "valueMode": "color",
    }
    # grafanalib's own options are those of Grafana 6.
    extra = {"fieldConfig": {"defaults": defaults | ({} if most is None else {"max": most})}}
    return finished({**plain(made), "options": options}, extra)


def pie(about: About, queries: Sequence[Query], colors: Mapping[str, str] | None = None) -> Json:
    """Parts of a whole, by instant queries; the legend says number and share."""
    made = core.PieChartv2(
        **common(about, queries, None, [{"color": "green"}]),
        legendPlacement="right",
        legendDisplayMode="table",
        legendValues=["value", "percent"],
        overrides=[override(name, color=fixed(color)) for name, color in (colors or {}).items()],
        unit=about.unit,
    )
    return finished(made, {"fieldConfig": {"defaults": {"decimals": about.decimals}}})


def _from_zero(color: str, limits: Mapping[float, str] | None, nothing: str = "text") -> list[Json]:
    """Colours of values; where there is none, Grafana says why in the first colour, which must not alarm."""
    steps = [{"color": color, "value": 0}] if color != nothing else []
    steps += [{"color": other, "value": value} for value, other in (limits or {}).items()]
    return [{"color": nothing}, *steps]


_DASHED = {"custom.lineStyle": {"fill": "dash", "dash": [10, 10]}, "custom.fillOpacity": 0}
_SUMMARY = {"legendDisplayMode": "table", "legendCalcs": ["lastNotNull", "mean", "max"]}


def row(title: str) -> Json:
    json = plain(core.RowPanel(title=title))
    return {key: json[key] for key in ("collapsed", "panels", "title", "type")}


def _axes(about: About) -> dict[str, Any]:
    return {
        "axisLabel": about.axis,
        "axisSoftMin": 0,
        "legendPlacement": "bottom",
        "tooltipMode": "multi",
        "tooltipSort": "desc",
        "unit": about.unit,
        "valueDecimals": about.decimals,
    }
