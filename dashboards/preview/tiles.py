"""Drawing panels without a time axis: stats, bar gauges, tables, and the text of an empty panel."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.preview import theme
from dashboards.preview.answered import Answered
from dashboards.preview.canvas import Box, Canvas
from dashboards.preview.units import formatted


@dataclass(frozen=True, slots=True)
class Rows:
    """What a table shows.

    Attributes:
        labels: the columns that are labels; they stand first.
        lines: the titles, then each row's cells.
        colors: names of the colours of each row's cells.
    """

    labels: Sequence[str]
    lines: Sequence[Sequence[str]]
    colors: Sequence[Sequence[str]]


def rows(answered: Answered) -> Rows:
    """The rows by their first value, largest first; a value that is missing stays empty."""
    titles = answered.panel["transformations"][-1]["options"]["renameByName"]
    values = [key for key in titles if key.startswith("Value")]
    labels = [key for key in titles if key not in values]
    cells: dict[tuple[str, ...], dict[str, float]] = {}
    for value, (_, answer) in zip(values, answered.answers, strict=True):
        for one in answer:
            cells.setdefault(tuple(one.labels.get(label, "") for label in labels), {})[value] = one.last
    looks = [_Look(answered, titles[value]) for value in values]
    lines, colors = [[titles[key] for key in (*labels, *values)]], []
    ranked = sorted(cells.items(), key=lambda row: -row[1].get(values[0], 0.0))
    for key, numbers in ranked:
        found = [numbers.get(value) for value in values]
        lines.append([*key, *(look.text(number) for look, number in zip(looks, found, strict=True))])
        colors.append(
            ["text"] * len(key) + [look.color(number) for look, number in zip(looks, found, strict=True)]
        )
    hidden = {number for number, key in enumerate(labels) if answered.field(titles[key], "custom.hidden")}
    shown = [[cell for number, cell in enumerate(line) if number not in hidden] for line in lines]
    lit = [[color for number, color in enumerate(line) if number not in hidden] for line in colors]
    return Rows([key for number, key in enumerate(labels) if number not in hidden], shown, lit)


@dataclass(frozen=True, slots=True)
class _Look:
    answered: Answered
    title: str

    def text(self, value: float | None) -> str:
        defaults = self.answered.defaults
        unit = self._property("unit") or defaults.get("unit", "")
        decimals = self._property("decimals")
        return (
            ""
            if value is None
            else formatted(value, unit, defaults.get("decimals") if decimals is None else decimals)
        )

    def color(self, value: float | None) -> str:
        limits = self._property("thresholds")
        if value is None or limits is None:
            return "text"
        return str([s["color"] for s in limits["steps"] if value >= s.get("value", float("-inf"))][-1])

    def _property(self, key: str, default: Any = None) -> Any:
        found = self.answered.field(self.title, key)
        return default if found is None else found


def _draw_tiles(canvas: Canvas, box: Box, answered: Answered) -> None:
    """Tiles side by side where there is room, else below each other."""
    count = len(answered.series)
    across = count if box.width / count >= 90 and box.height < 120 else max(1, int(box.width // 190))
    down = -(-count // across)
    width, height = box.width / across, min(box.height / down, 90)
    for number, one in enumerate(answered.series):
        tile = Box(
            box.left + number % across * width + 2,
            box.top + number // across * height + 2,
            width - 4,
            height - 4,
        )
        canvas.rectangle(tile, theme.color(answered.limit_color(one.last)), radius=3)
        middle, size = tile.left + tile.width / 2, min(20.0, tile.height * 0.36)
        name = canvas.fitting(one.name, 11, tile.width - 10)
        canvas.text(middle, tile.top + tile.height * 0.3, name, 11, theme.CANVAS, "center")
        canvas.text(
            middle,
            tile.top + tile.height * 0.66,
            answered.text(one.last),
            size,
            theme.CANVAS,
            "center",
            bold=True,
        )


_LINE = 30
_MIN_LINE = 18
_SIZE = 13.0


def empty(canvas: Canvas, box: Box, answered: Answered) -> None:
    size = 14.0
    letters = max(12, int(box.width * 0.8 / (size * 0.58)))
    words = "\n".join(textwrap.wrap(answered.no_value, letters))
    canvas.text(box.left + box.width / 2, box.top + box.height / 2, words, size, theme.MUTED, "center")


def stat(canvas: Canvas, box: Box, answered: Answered) -> None:
    """One large number, or a coloured tile for each of several."""
    if answered.panel["options"]["textMode"] == "value_and_name":
        _draw_tiles(canvas, box, answered)
        return
    last = answered.series[0].last
    size = min(box.height * 0.62, 46)
    canvas.text(
        box.left + box.width / 2,
        box.top + box.height * 0.45,
        answered.text(last),
        size,
        theme.color(answered.limit_color(last)),
        "center",
        bold=True,
    )


def bar_gauge(canvas: Canvas, box: Box, answered: Answered) -> None:
    """A bar for each series, as many as there is room for."""
    line = max(_MIN_LINE, min(_LINE, box.height / len(answered.series)))
    series = answered.series[: int(box.height // line)]
    most = answered.defaults.get("max", max(one.last for one in answered.series))
    names = min(max(canvas.measure(one.name, _SIZE) for one in series), box.width * 0.45)
    values = max(canvas.measure(answered.text(one.last), _SIZE) for one in series)
    bar = box.less(left=names + 12, right=values + 14)
    for number, one in enumerate(series):
        top = box.top + number * line
        middle = top + line / 2
        canvas.text(box.left, middle, canvas.fitting(one.name, _SIZE, names), _SIZE, theme.TEXT)
        canvas.rectangle(Box(bar.left, top + line / 5, bar.width, line * 0.6), theme.BORDER, radius=3)
        length = bar.width * min(1.0, one.last / most) if most > 0 else 0
        color = theme.color(answered.limit_color(one.last))
        filled = Box(bar.left, top + line / 5, max(length, 4) if one.last > 0 else 0, line * 0.6)
        canvas.rectangle(filled, color, radius=min(3, length / 2))
        canvas.text(box.right, middle, answered.text(one.last), _SIZE, theme.TEXT, "right")


def table(canvas: Canvas, box: Box, answered: Answered) -> None:
    """A line for each row: its labels, and its values to the right of them."""
    shown = rows(answered)
    labels = len(shown.labels)
    widths = [
        max(canvas.measure(cell, _SIZE) for cell in column) for column in zip(*shown.lines, strict=True)
    ]
    spare = (box.width - sum(widths)) / max(1, len(widths) - 1)
    gap = max(8.0, min(spare, 60.0)) if len(widths) > 2 else max(8.0, spare)
    for number, line in enumerate(shown.lines[: int(box.height // _LINE)]):
        middle, left = box.top + (number + 0.5) * _LINE, box.left
        for place, (cell, width) in enumerate(zip(line, widths, strict=True)):
            color = theme.color("blue") if number == 0 else theme.color(shown.colors[number - 1][place])
            room = min(width, box.right - left)
            if place < labels:
                canvas.text(left, middle, canvas.fitting(cell, _SIZE, room), _SIZE, color)
            else:
                canvas.text(left + width, middle, cell, _SIZE, color, "right")
            left += width + gap
        canvas.rectangle(Box(box.left, middle + _LINE / 2 - 1, box.width, 1), theme.GRID)
