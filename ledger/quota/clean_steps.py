"""The quota by the stretches of a cycle that the requests explain: the named option `clean_steps`.

The meter's rise is cut into stretches of some percentage points, each with its own dollars per point.
Use beyond the proxy raises the meter and costs nothing here, so it shows as stretches that are far
cheaper than the dear ones. These are left out instead of spoiling the ratio or the whole estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.quota.cycle import Cycle
from ledger.quota.running import Requests

PARTS = 25
MIN_POINTS = 3
"""Percent is told in whole points, so a stretch of few points has no exact length."""

DEAR = 0.9
"""How far up, by percentage points, the stretch stands that the others are measured by: not the dearest,
which rounding may have made so, but a clean one even where most use was beyond the proxy."""

CHEAP = 0.7
"""A stretch of less than this part of that stretch's dollars per point is not explained."""

STEADY = 0.93
"""Where the whole cycle reaches this part of them, nothing is left out: the difference is rounding."""

MIN_EXPLAINED = 0.25
"""Share of the points used that must be explained."""

MIN_CLEAN_POINTS = 5


@dataclass(frozen=True, slots=True)
class Step:
    """A stretch of a cycle: percentage points that the meter rose, and 10^-12 US dollars spent meanwhile."""

    points: float
    pico: int

    @property
    def rate(self) -> float:
        return self.pico / self.points


def steps(cycle: Cycle, requests: Requests, start: int) -> tuple[Step, ...]:
    """Cut the meter's rise since `start` into stretches of a PARTS-th of it, or of a few points."""
    marks = [(start, cycle.used_at(start) or 0.0), *rising(cycle, start)]
    least = max(MIN_POINTS, (marks[-1][1] - marks[0][1]) / PARTS)
    found: list[Step] = []
    at, percent = marks[0]
    for moment, reached in marks[1:]:
        if reached - percent >= least:
            found.append(Step(reached - percent, requests.between(at, moment).pico))
            at, percent = moment, reached
    return tuple(found)


def rising(cycle: Cycle, start: int) -> list[tuple[int, float]]:
    """When each whole percent was first seen, without those that a higher one was seen before."""
    found: list[tuple[int, float]] = []
    for at, percent in sorted((at, percent) for percent, at in cycle.reached):
        if at > start and percent > (found[-1][1] if found else 0):
            found.append((at, float(percent)))
    return found


def pico_per_point(found: Sequence[Step]) -> float | None:
    """10^-12 US dollars per percentage point in the stretches that are explained; None where they are too
    few to tell."""
    points = sum(step.points for step in found)
    if not points:
        return None
    dear = _rate_at(found, DEAR * points)
    whole = sum(step.pico for step in found) / points
    if whole >= STEADY * dear > 0:
        return whole
    clean = [step for step in found if step.rate >= CHEAP * dear]
    explained = sum(step.points for step in clean)
    if not dear or explained < max(MIN_CLEAN_POINTS, MIN_EXPLAINED * points):
        return None
    return sum(step.pico for step in clean) / explained


def _rate_at(found: Sequence[Step], points: float) -> float:
    """The rate of the stretch at which that many points lie in stretches no dearer."""
    seen = 0.0
    for step in sorted(found, key=lambda step: step.rate):
        seen += step.points
        if seen >= points:
            return step.rate
    return 0.0
