from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.image import imread

from dashboards.preview import theme
from dashboards.preview.canvas import Box, Canvas
from dashboards.preview.timecharts import LINE, wrapped


def pixels(canvas: Canvas) -> np.ndarray[Any, Any]:
    return np.round(imread(BytesIO(canvas.png(scale=1)))[:, :, :3] * 255)


def rgb(color: str) -> list[int]:
    return [int(color[i : i + 2], 16) for i in (1, 3, 5)]


def test_a_rectangle_lies_where_its_box_is() -> None:
    canvas = Canvas(100, 60)
    canvas.rectangle(Box(10, 20, 30, 15), "#ff0000")
    red = (pixels(canvas) == [255, 0, 0]).all(axis=2)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (20, 34, 10, 39)


def test_axes_lie_above_rectangles() -> None:
    canvas = Canvas(100, 60)
    canvas.rectangle(Box(0, 0, 100, 60), theme.PANEL)
    axes = canvas.axes(Box(0, 0, 100, 60))
    axes.axhspan(0, 1, color="#00ff00")
    assert pixels(canvas)[30, 50].tolist() == [0, 255, 0]


def test_text_is_centred_around_its_height_line_by_line() -> None:
    canvas = Canvas(200, 100)
    canvas.text(100, 50, "xx\nxx", 14, "#ffffff", "center")
    drawn = (pixels(canvas) != rgb(theme.CANVAS)).any(axis=2)
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    assert abs((rows[0] + rows[-1]) / 2 - 50) < 3
    assert abs((columns[0] + columns[-1]) / 2 - 100) < 2
    assert not drawn[49:51].any()


def test_a_dollar_is_a_dollar() -> None:
    canvas = Canvas(100, 100)
    assert canvas.measure("$1 and $2", 12) > canvas.measure("1 and 2", 12)


def test_a_line_that_is_too_long_ends_in_an_ellipsis() -> None:
    canvas = Canvas(100, 100)
    short = canvas.fitting("a name that is far too long", 12, 80)
    assert short.endswith("…")
    assert canvas.measure(short, 12) <= 80
    assert canvas.fitting("short", 12, 80) == "short"


def test_a_legend_takes_the_lines_it_needs() -> None:
    canvas = Canvas(400, 100)
    entries = [(f"series {number}", "#ffffff") for number in range(9)]
    lines = wrapped(canvas, entries, 300)
    assert [name for line in lines for _, name, _ in line] == [name for name, _ in entries]
    assert len(lines) == 3
    for line in lines:
        left, name, _ = line[-1]
        assert left + canvas.measure(name, 11.5) <= 300
    assert LINE > 11.5
    assert wrapped(canvas, [], 300) == []
