"""A legend below its chart: as many lines as its entries need."""

from __future__ import annotations

from collections.abc import Sequence

from dashboards.preview import theme
from dashboards.preview.canvas import Box, Canvas

LINE = 18
SIZE = 11.5
"""Pixels: of a line, and of its text."""

Lines = Sequence[Sequence[tuple[float, str, str]]]
"""Entries by line: distance from the left, name, colour."""


def wrapped(canvas: Canvas, entries: Sequence[tuple[str, str]], width: float) -> Lines:
    """Names and colours, in lines that fit into the width."""
    lines: list[list[tuple[float, str, str]]] = []
    right = width
    for name, color in entries:
        needs = canvas.measure(name, SIZE) + 32
        if right + needs > width:
            lines.append([])
            right = 0
        lines[-1].append((right, name, color))
        right += needs
    return lines


def draw(canvas: Canvas, box: Box, lines: Lines) -> None:
    """The lines at the bottom of the box."""
    top = box.bottom - LINE * len(lines)
    for number, line in enumerate(lines):
        middle = top + LINE * (number + 0.5) + 2
        for left, name, color in line:
            canvas.rectangle(Box(box.left + left, middle - 2, 14, 4), color, radius=1.5)
            canvas.text(box.left + left + 19, middle, name, SIZE, theme.TEXT)
