from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.errors import LayoutError
from dashboards.kit.layout import COLUMNS, Row, place


def panel(title: str = "p") -> dict[str, Any]:
    return {"title": title, "type": "stat"}


def row(height: int, *widths: int) -> Row:
    return Row({"title": "r", "type": "row"}, height, [(width, panel()) for width in widths])


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """A row of one or two full lines."""
    widths: list[int] = []
    for _ in range(draw(st.integers(1, 2))):
        cuts = sorted(draw(st.sets(st.integers(1, COLUMNS - 1), max_size=5)))
        widths += [b - a for a, b in zip([0, *cuts], [*cuts, COLUMNS], strict=True)]
    return row(draw(st.integers(1, 12)), *widths)


@given(st.lists(rows(), min_size=1, max_size=4))
def test_every_cell_of_the_grid_belongs_to_one_panel(some: list[Row]) -> None:
    taken: list[tuple[int, int]] = []
    for placed in place(some):
        grid = placed["gridPos"]
        taken += [
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        ]
    bottom = max(y for _, y in taken) + 1
    assert len(taken) == len(set(taken)) == COLUMNS * bottom


def test_panels_are_numbered_in_reading_order() -> None:
    placed = place([row(4, 12, 12), row(8, 24)])
    assert [panel["id"] for panel in placed] == [1, 2, 3, 4, 5]
    assert [panel["type"] for panel in placed] == ["row", "stat", "stat", "row", "stat"]
    assert [panel["gridPos"]["y"] for panel in placed] == [0, 1, 1, 5, 6]


@pytest.mark.parametrize(
    ("widths", "complaint"),
    [
        ((12, 6), "6 columns of its last line are empty"),
        ((20, 6), "'p': 6 columns do not fit; 4 are left"),
        ((25,), "25 columns do not fit"),
        ((0, 24), "0 columns do not fit"),
    ],
)
def test_a_gap_or_an_overhang_stops_the_build(widths: tuple[int, ...], complaint: str) -> None:
    with pytest.raises(LayoutError, match=complaint):
        place([row(4, *widths)])
