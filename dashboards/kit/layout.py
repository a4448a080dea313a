"""Grafana's grid: 24 columns, filled row by row, without overlap and without gap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboards.errors import LayoutError
from dashboards.kit.plain import Json

COLUMNS = 24
ROW_HEIGHT = 1
"""Grid units that a row's title takes; a unit is 30 pixels high."""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side under one title.

    Attributes:
        heading: the row's own panel, which carries the title.
        height: of each of its panels, in grid units.
        cells: panels with their widths in columns; several lines of 24 may follow each other.
    """

    heading: Json
    height: int
    cells: Sequence[tuple[int, Json]]


def place(rows: Sequence[Row]) -> list[Json]:
    """The panels in reading order, each with its id (1, 2, ...) and its place.

    Raises: LayoutError.
    """
    placed: list[Json] = []
    top = 0
    for row in rows:
        placed.append(_at(row.heading, 0, top, COLUMNS, ROW_HEIGHT))
        top += ROW_HEIGHT
        for line in _lines(row):
            left = 0
            for width, panel in line:
                placed.append(_at(panel, left, top, width, row.height))
                left += width
            top += row.height
    return [{**panel, "id": number} for number, panel in enumerate(placed, start=1)]


def _lines(row: Row) -> list[list[tuple[int, Json]]]:
    lines: list[list[tuple[int, Json]]] = []
    room = 0
    for width, panel in row.cells:
        if room == 0:
            lines.append([])
            room = COLUMNS
        if not 0 < width <= room:
            raise LayoutError(f"{panel['title']!r}: {width} columns do not fit; {room} are left in its line")
        lines[-1].append((width, panel))
        room -= width
    if room:
        raise LayoutError(f"row {row.heading['title']!r}: {room} columns of its last line are empty")
    return lines


def _at(panel: Json, x: int, y: int, width: int, height: int) -> Json:
    return {**panel, "gridPos": {"x": x, "y": y, "w": width, "h": height}}
