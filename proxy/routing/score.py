"""Plans in tiers, and how much an account wants to be used: quota that is lost soon is used first. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tier = Literal["pro", "plus", "free"]
TIERS: tuple[Tier, ...] = ("pro", "plus", "free")

_TIERS: dict[str, Tier] = {"pro": "pro", "enterprise": "pro", "free": "free"}


@dataclass(frozen=True, slots=True)
class Weights:
    """The share of requests that an account of each tier takes beside one of another tier."""

    pro: float = 1.0
    plus: float = 0.72
    free: float = 0.512

    def of(self, tier: Tier) -> float:
        """A tier's weight."""
        return {"pro": self.pro, "plus": self.plus, "free": self.free}[tier]


def tier_of(plan: str) -> Tier:
    """The tier of a plan; one that is not known counts as plus."""
    return _TIERS.get(plan.casefold(), "plus")


MIN_SECONDS = 60.0
"""A reset that is nearer than this is as urgent as can be."""

FARTHEST_SECONDS = 7 * 86_400.0
"""An account whose reset is not known takes part like one whose week has just begun: left out, it would
never be asked, and so its reset would never be known."""


def score(weight: float, reset_at: int | None, now: float) -> float:
    """Weight per second that is left until the weekly quota is reset; 0 where that is not known.

    Args:
        reset_at: of the secondary window, epoch seconds; one that has passed is not known any more.
        now: epoch seconds.
    """
    if reset_at is None or reset_at <= now:
        return 0.0
    return weight / max(MIN_SECONDS, reset_at - now)


def share(weight: float, reset_at: int | None, now: float) -> float:
    """How many requests an account takes in proportion to the others; never 0."""
    return score(weight, reset_at, now) or weight / FARTHEST_SECONDS
