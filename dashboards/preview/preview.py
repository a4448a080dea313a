"""A dashboard as one picture: its panels on Grafana's grid, with the answers of a real Prometheus."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dashboards.errors import OutputError
from dashboards.kit.layout import COLUMNS
from dashboards.kit.plain import Json
from dashboards.preview import pies, theme, tiles, timecharts
from dashboards.preview.answered import Answered
from dashboards.preview.canvas import Box, Canvas
from dashboards.preview.grafana_time import Ask, View, asks, panel_range
from dashboards.preview.picks import picked
from dashboards.preview.source import Series

WIDTH = 1600
_MARGIN = 16
_HEADER = 58
_UNIT = 30
_GAP = 8
_TITLE = 34
"""Pixels, as Grafana lays a dashboard out."""

Chosen = Sequence[tuple[str, str]]
"""Labels of the variables, and what is chosen."""

Draw = Callable[[Canvas, Box, Answered], None]

_DRAW: Mapping[str, Draw] = {
    "bargauge": tiles.bar_gauge,
    "piechart": pies.draw,
    "stat": tiles.stat,
    "table": tiles.table,
    "timeseries": timecharts.draw,
}


def preview(dashboard: Json, view: View, fetch: Callable[[Ask], list[Series]]) -> bytes:
    """The dashboard as PNG.

    Args:
        view: its variables are taken from the dashboard.
        fetch: answers one query.
    Raises: TimeError, SourceError.
    """
    panels = dashboard["panels"]
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    canvas = Canvas(WIDTH, _HEADER + bottom * (_UNIT + _GAP) + _MARGIN)
    picks = picked(dashboard, view, fetch)
    _header(canvas, dashboard["title"], [(pick.label, pick.text) for pick in picks if pick.text], view)
    view = replace(view, variables={pick.name: pick.value for pick in picks})
    for panel in panels:
        box = place(panel["gridPos"])
        if panel["type"] == "row":
            canvas.text(
                box.left + 2, box.top + box.height / 2, f"⌄  {panel['title']}", 15, theme.TEXT, bold=True
            )
        else:
            _panel(canvas, box, answered(panel, view, int(box.width), fetch))
    return canvas.png()


def answered(panel: Json, view: View, width: int, fetch: Callable[[Ask], list[Series]]) -> Answered:
    """The panel with the answers to its queries.

    Raises: TimeError, SourceError.
    """
    answers = [(ask, fetch(ask)) for ask in asks(panel, view, width)]
    return Answered(panel, panel_range(panel, view), answers)


def place(grid: Mapping[str, int]) -> Box:
    """Where a place of the grid lies in the picture."""
    column = (WIDTH - 2 * _MARGIN + _GAP) / COLUMNS
    return Box(
        _MARGIN + grid["x"] * column,
        _HEADER + grid["y"] * (_UNIT + _GAP),
        grid["w"] * column - _GAP,
        grid["h"] * (_UNIT + _GAP) - _GAP,
    )


def write(name: str, picture: bytes, out: Path) -> Path:
    """Write a picture as `out/NAME.png`.

    Raises: OutputError.
    """
    path = out / f"{name}.png"
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def _panel(canvas: Canvas, box: Box, content: Answered) -> None:
    canvas.rectangle(box, theme.PANEL, edge=theme.BORDER, radius=4)
    title = canvas.fitting(content.panel["title"], 14, box.width - 24)
    canvas.text(box.left + 12, box.top + 19, title, 14, theme.TEXT, bold=False)
    draw = _DRAW[content.panel["type"]] if content.series else tiles.empty
    draw(canvas, box.less(left=12, top=_TITLE, right=12, bottom=10), content)


def _header(canvas: Canvas, title: str, chosen: Chosen, view: View) -> None:
    middle = _HEADER / 2
    canvas.text(_MARGIN + 2, middle, title, 20, theme.TEXT, bold=True)
    right: float = WIDTH - _MARGIN
    chips = [f"{_range(view)}   {view.now:%Y-%m-%d %H:%M %Z}"]
    chips += [f"{label}  {text}" for label, text in reversed(chosen)]
    for words in chips:
        width = canvas.measure(words, 13) + 24
        canvas.rectangle(Box(right - width, middle - 15, width, 30), theme.PANEL, edge=theme.BORDER, radius=4)
        canvas.text(right - width / 2, middle, words, 13, theme.TEXT, "center")
        right -= width + _GAP


def _range(view: View) -> str:
    hours = re.fullmatch(r"now-(\d+)h", view.start)
    return f"Last {hours[1]} hours" if hours and view.end == "now" else f"{view.start} to {view.end}"
