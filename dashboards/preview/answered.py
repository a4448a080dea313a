"""A panel together with what Prometheus answered to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.kit.plain import Json
from dashboards.preview import theme
from dashboards.preview.grafana_time import Ask, Range
from dashboards.preview.source import Series
from dashboards.preview.units import formatted


def _fits(matcher: Json, name: str) -> bool:
    options = matcher["options"]
    if matcher["id"] == "byRegexp":
        return re.search(options.strip("/"), name) is not None
    return bool(options == name)


@dataclass(frozen=True, slots=True)
class Answered:
    """A panel, the time range it shows, and for each target what was asked and answered."""

    panel: Json
    shown: Range
    answers: Sequence[tuple[Ask, list[Series]]]

    @property
    def series(self) -> list[Series]:
        return [series for _, answer in self.answers for series in answer]

    @property
    def defaults(self) -> Json:
        defaults: Json = self.panel["fieldConfig"]["defaults"]
        return defaults

    @property
    def no_value(self) -> str:
        """What the panel says where there is no data."""
        return str(self.defaults.get("noValue", "No data"))

    def text(self, value: float) -> str:
        """A value in the panel's unit, or the text that a range of values is mapped to."""
        for mapping in self.defaults.get("mappings", ()):
            options = mapping["options"]
            if mapping["type"] == "value":
                if (found := options.get(f"{value:g}")) is not None:
                    return str(found["text"])
            elif options["from"] <= value <= options["to"]:
                return str(options["result"]["text"])
        return formatted(value, self.defaults.get("unit", ""), self.defaults.get("decimals"))

    def field(self, name: str, key: str) -> Any:
        """What the last override that fits says of one series; None where none does."""
        found = None
        for override in self.panel["fieldConfig"]["overrides"]:
            if _fits(override["matcher"], name):
                found = next((p["value"] for p in override["properties"] if p["id"] == key), found)
        return found

    def custom(self, name: str, key: str) -> Any:
        """How one series is drawn: an override's value, else the panel's."""
        overridden = self.field(name, f"custom.{key}")
        return self.defaults["custom"][key] if overridden is None else overridden

    def limit_color(self, value: float) -> str:
        """The name of the colour that the panel's thresholds give to a value."""
        steps = self.defaults["thresholds"]["steps"]
        return str([s["color"] for s in steps if value >= s.get("value", float("-inf"))][-1])

    def color(self, number: int, name: str) -> str:
        """The colour of a series: the panel's choice, else the next of the palette."""
        chosen = self.field(name, "color")
        return theme.color(chosen["fixedColor"]) if isinstance(chosen, dict) else theme.in_order(number)
