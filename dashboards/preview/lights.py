"""Drawing a stat of several values: a coloured tile for each."""

from __future__ import annotations

from dashboards.preview import theme
from dashboards.preview.answered import Answered
from dashboards.preview.canvas import Box, Canvas


def draw(canvas: Canvas, box: Box, answered: Answered) -> None:
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
