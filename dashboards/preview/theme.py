"""Grafana's dark theme: colours by name, and who gets which."""

from __future__ import annotations

CANVAS = "#111217"
PANEL = "#181b1f"
BORDER = "#24272c"
GRID = "#2a2d33"
TEXT = "#d5d6de"
MUTED = "#8e8f99"

NAMED = {
    "blue": "#5794f2",
    "dark-red": "#c4162a",
    "light-blue": "#8ab8ff",
    "green": "#73bf69",
    "orange": "#ff9830",
    "purple": "#b877d9",
    "light-purple": "#ca95e5",
    "dark-purple": "#8f3bb8",
    "red": "#f2495c",
    "text": "#e6e7ee",
    "yellow": "#f2cc0c",
}
"""Colours that panels name."""

PALETTE = (
    *("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#7c6bb0"),
    *("#37872d", "#fade2a", "#447ebc", "#c15c17", "#890f02", "#0a9fc4", "#6d1f62", "#9a94c7"),
)
"""Colours that series get in their order, where the panel names none."""


def color(name: str) -> str:
    return NAMED.get(name, name)


def in_order(number: int) -> str:
    """The colour of the series with this number, from 0."""
    return PALETTE[number % len(PALETTE)]
