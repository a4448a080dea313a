"""Drawing pies: parts of a whole, with a legend that says number and share."""

from __future__ import annotations

from math import cos, pi, sin

from dashboards.preview import theme
from dashboards.preview.answered import Answered
from dashboards.preview.canvas import Box, Canvas

_SIZE = 12.5
_LINE = 24


def draw(canvas: Canvas, box: Box, answered: Answered) -> None:
    """A pie panel's inside: the pie at the left, its legend at the right."""
    parts = [one for one in answered.series if one.last > 0]
    whole = sum(one.last for one in parts) or 1.0
    radius = min(box.height, box.width * 0.45) / 2 - 4
    middle = box.left + radius + 8, box.top + box.height / 2
    start = 0.0
    for number, one in enumerate(parts):
        end = start + one.last / whole
        canvas.polygon(slice_of(*middle, radius, start, end), answered.color(number, one.name))
        start = end
    _legend(canvas, box.less(left=2 * radius + 40), answered)


def slice_of(x: float, y: float, radius: float, start: float, end: float) -> list[tuple[float, float]]:
    """The outline of a slice; `start` and `end` are shares of the circle, from the top clockwise."""
    steps = max(2, int((end - start) * 180))
    angles = [2 * pi * (start + (end - start) * step / steps) for step in range(steps + 1)]
    return [(x, y), *((x + radius * sin(angle), y - radius * cos(angle)) for angle in angles)]


def _legend(canvas: Canvas, box: Box, answered: Answered) -> None:
    parts = answered.series[: int(box.height // _LINE)]
    whole = sum(one.last for one in answered.series) or 1.0
    top = box.top + (box.height - _LINE * len(parts)) / 2
    for number, one in enumerate(parts):
        middle = top + (number + 0.5) * _LINE
        color = answered.color(number, one.name)
        canvas.rectangle(Box(box.left, middle - 2, 14, 4), color, radius=1.5)
        name = canvas.fitting(one.name, _SIZE, box.width - 180)
        canvas.text(box.left + 20, middle, name, _SIZE, theme.TEXT)
        canvas.text(box.right - 70, middle, answered.text(one.last), _SIZE, theme.TEXT, "right")
        canvas.text(box.right, middle, f"{one.last / whole:.0%}", _SIZE, theme.MUTED, "right")
