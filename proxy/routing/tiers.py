"""Plans in tiers, and what a tier's accounts weigh against each other. Pure."""

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
