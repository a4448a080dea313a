"""How many credits a plan's quota windows hold, by what their users report; the configuration overrides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PRIMARY_MINUTES = 300
SECONDARY_MINUTES = 10_080


@dataclass(frozen=True, slots=True)
class Capacity:
    """Credits of the five-hour and of the weekly window."""

    primary: float
    secondary: float


CAPACITIES: Mapping[str, Capacity] = {
    "free": Capacity(0, 1_134),
    "plus": Capacity(225, 7_560),
    "team": Capacity(225, 7_560),
    "business": Capacity(225, 7_560),
    "edu": Capacity(225, 7_560),
    "prolite": Capacity(1_125, 37_800),
    "pro": Capacity(1_500, 50_400),
    "enterprise": Capacity(1_500, 50_400),
}
"""By plan, in lower case. A plan that is not here has no known capacity, and so no remaining credits."""


def remaining_credits(capacity: float, used_percent: float) -> float:
    """What is left of a window's credits."""
    return capacity * (100.0 - min(100.0, max(0.0, used_percent))) / 100.0
