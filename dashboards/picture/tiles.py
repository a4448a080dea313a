"""Drawing panels without a time axis: stats, bar gauges, tables, and the text of an empty panel."""

from __future__ import annotations

import textwrap

from dashboards.picture import theme
from dashboards.picture.answered import Answered
from dashboards.picture.canvas import Box, Canvas

_LINE = 30
_SIZE = 13.0


def empty(canvas: Canvas, box: Box, answered: Answered) -> None:
    """Why there is nothing to see."""
    size = 14.0
    letters = max(12, int(box.width * 0.8 / (size * 0.58)))
    words = "\n".join(textwrap.wrap(answered.no_value, letters))
    canvas.text(box.left + box.width / 2, box.top + box.height / 2, words, size, theme.MUTED, "center")


def stat(canvas: Canvas, box: Box, answered: Answered) -> None:
    """One large number."""
    words = answered.text(answered.series[0].last)
    color = theme.color(answered.defaults["thresholds"]["steps"][0]["color"])
    size = min(box.height * 0.62, 46)
    canvas.text(
        box.left + box.width / 2, box.top + box.height * 0.45, words, size, color, "center", bold=True
    )


def bar_gauge(canvas: Canvas, box: Box, answered: Answered) -> None:
    """A bar for each series, as many as there is room for."""
    series = answered.series[: int(box.height // _LINE)]
    most = max(one.last for one in answered.series)
    color = theme.color(answered.defaults["thresholds"]["steps"][0]["color"])
    names = min(max(canvas.measure(one.name, _SIZE) for one in series), box.width * 0.45)
    values = max(canvas.measure(answered.text(one.last), _SIZE) for one in series)
    bar = box.less(left=names + 12, right=values + 14)
    for number, one in enumerate(series):
        top = box.top + number * _LINE
        middle = top + _LINE / 2
        canvas.text(box.left, middle, canvas.fitting(one.name, _SIZE, names), _SIZE, theme.TEXT)
        canvas.rectangle(Box(bar.left, top + 6, bar.width, _LINE - 12), theme.BORDER, radius=3)
        length = bar.width * one.last / most if most > 0 else 0
        canvas.rectangle(Box(bar.left, top + 6, max(length, 4), _LINE - 12), color, radius=min(3, length / 2))
        canvas.text(box.right, middle, answered.text(one.last), _SIZE, theme.TEXT, "right")


def table(canvas: Canvas, box: Box, answered: Answered) -> None:
    """A line for each series: its labels, and its value at the right."""
    columns = sorted({name for one in answered.series for name in one.labels})
    value = next(iter(answered.panel["transformations"][0]["options"]["renameByName"].values()))
    width = (box.width - canvas.measure(value, _SIZE) - 16) / len(columns)
    lines = [(columns, value)]
    lines += [([one.labels.get(c, "") for c in columns], answered.text(one.last)) for one in answered.series]
    for number, (cells, last) in enumerate(lines[: int(box.height // _LINE)]):
        middle = box.top + (number + 0.5) * _LINE
        color = theme.TEXT if number else theme.color("blue")
        for column, cell in enumerate(cells):
            words = canvas.fitting(cell, _SIZE, width - 8)
            canvas.text(box.left + column * width, middle, words, _SIZE, color)
        canvas.text(box.right, middle, last, _SIZE, color, "right")
        canvas.rectangle(Box(box.left, middle + _LINE / 2 - 1, box.width, 1), theme.GRID)
