"""A table's rows, as Grafana's transformations `merge` and `organize` make them of several answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.preview.answered import Answered
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
    """How a column writes its numbers."""

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
