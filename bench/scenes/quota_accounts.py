"""Accounts with known true quotas: how they are used, what the meter shows, what the ledger gets to see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from ledger.pricing.rates import DAY, RateTable
from ledger.quota.cycle import MINUTE, Reading
from ledger.quota.running import UNPRICED, RunningRequests

HOUR = 60 * MINUTE
WEEK_MINUTES = 10_080
BEGIN = 20_500 * DAY
"""When every simulated week begins, microseconds since 1970."""

MODELS = ("gpt-5.5", "gpt-5.4", "gpt-5.3-codex", "gpt-5.6-sol", "gpt-5.4-mini", "not-in-any-price-list")
MODEL_WEIGHTS = (30, 25, 20, 15, 9, 1)
CREDITS = {"gpt-5.5": 1.1, "gpt-5.4": 1.0, "gpt-5.3-codex": 0.9, "gpt-5.6-sol": 1.05, "gpt-5.4-mini": 0.9}
"""What the meter takes for a dollar of list price: the provider weighs models in its own way."""

POLL = 5 * MINUTE
MISSED_POLLS = 0.1
OUTAGES_PER_WEEK = 0.7
BEYOND_IN_AN_OUTAGE = 0.3
"""Share of the requests that, while the proxy is down, are made without it."""


@dataclass(frozen=True, slots=True)
class Use:
    """One request: its list price, what the meter counts for it, and whether the proxy saw it.

    Attributes:
        cost: by the price of its own time and tier, as `RateTable` tells it.
        plain_cost: as if tiers and long contexts cost nothing extra, as tokens that are summed up before
            they are priced do.
    """

    at: int
    cost: int
    plain_cost: int
    credits: float
    seen: bool


@dataclass(frozen=True, slots=True)
class Simulated:
    """One account at one moment of its week.

    Attributes:
        quota_usd: what its whole week is worth at the mix of models that it has used: the truth.
        outside: share of its use that the proxy did not see.
    """

    now: int
    quota_usd: float
    outside: float
    readings: tuple[Reading, ...]
    uses: tuple[Use, ...]

    def requests(self, plain: bool = False) -> RunningRequests:
        """What the ledger knows of it."""
        found = RunningRequests()
        for use in self.uses:
            if use.seen:
                found.add(use.at, use.plain_cost if plain else use.cost)
        return found


@dataclass(frozen=True, slots=True)
class _Habit:
    """How somebody works: share of the input that is cached, size of requests, share of the priority tier."""

    cache: float
    size: float
    priority: float


def accounts(number: int, table: RateTable, seed: int = 1) -> Iterator[Simulated]:
    """Accounts of every kind; those that have used less than one percent are left out."""
    random = Random(seed)
    made = 0
    while made < number:
        account = _account(random, table)
        if account is not None:
            made += 1
            yield account


def _account(random: Random, table: RateTable) -> Simulated | None:
    now = BEGIN + round(random.uniform(12, 167) * HOUR)
    down = _outages(random, now)
    uses = [use for use in _uses(random, table, down) if use.at < now]
    credits = sum(use.credits for use in uses)
    if not credits:
        return None
    full = credits / random.uniform(0.03, 1.0)  # the week's credits: so much of them is used by now
    readings = tuple(_readings(random, uses, full, now, down))
    if not readings or readings[-1].used < 1:
        return None
    dollars = sum(max(0, use.cost) for use in uses) / 1e12
    outside = 1 - sum(use.credits for use in uses if use.seen) / credits
    return Simulated(now, dollars / credits * full, outside, readings, tuple(uses))


def _outages(random: Random, now: int) -> list[tuple[int, int]]:
    """When the proxy was down: for hours now and then, and for one in ten until it was set up."""
    found = []
    if random.random() < 0.1:
        found.append((BEGIN, BEGIN + round(random.uniform(0.05, 0.7) * (now - BEGIN))))
    for day in range(7):
        if random.random() < OUTAGES_PER_WEEK / 7:
            start = BEGIN + day * DAY + round(random.random() * DAY)
            found.append((start, start + round(random.uniform(0.1, 16) * HOUR)))
    return found


def _uses(random: Random, table: RateTable, down: list[tuple[int, int]]) -> Iterator[Use]:
    """A week of sessions; some people work beyond the proxy in sessions of their own, some side by side."""
    share = random.choice((0.0, random.uniform(0, 0.6)))
    side_by_side = random.random() < 0.3
    habit = _Habit(random.uniform(0.2, 0.95), random.uniform(0.5, 2), random.choice((0.0, 0.0, 0.0, 0.3)))
    for _ in range(random.randint(8, 30)):
        start, length = BEGIN + round(random.random() * 6.9 * DAY), random.uniform(0.3, 4) * HOUR
        beyond = random.random() < share
        for _ in range(random.randint(10, 120)):
            at = start + round(random.random() * length)
            outside = random.random() < share if side_by_side else beyond
            if any(begin <= at < end for begin, end in down):
                if not outside and random.random() > BEYOND_IN_AN_OUTAGE and at >= BEGIN + DAY:
                    continue
                outside = True
            yield _use(random, table, at, habit, seen=not outside)


def _use(random: Random, table: RateTable, at: int, habit: _Habit, *, seen: bool) -> Use:
    (model,) = random.choices(MODELS, MODEL_WEIGHTS)
    tier = "priority" if random.random() < habit.priority else None
    input = min(400_000, round(habit.size * random.lognormvariate(10, 0.9)))
    cached, output = (
        round(input * min(1.0, habit.cache * random.uniform(0.8, 1.2))),
        round(random.lognormvariate(6.5, 1)),
    )
    cost = table.cost(at, model, tier, input, output, cached, 0, True)
    low = min(input, 272_000)
    plain = table.cost(at, model, None, low, output * input // max(1, low), min(cached, low), 0, True)
    plain = plain if plain == UNPRICED else plain * input // max(1, low)
    known = cost if cost != UNPRICED else table.cost(at, "gpt-5.5", tier, input, output, cached, 0, True)
    return Use(at, cost, plain, known * CREDITS.get(model, 1.0), seen)


def _readings(
    random: Random, uses: list[Use], full: float, now: int, down: list[tuple[int, int]]
) -> Iterator[Reading]:
    """What the meter showed whenever it was looked at: whole points, and a reset time that wobbles."""
    wobble = random.choice((0, 0, 2, 20))
    reset_at = (BEGIN + WEEK_MINUTES * MINUTE) // 1_000_000
    pending, credits = sorted(uses, key=lambda use: use.at, reverse=True), 0.0
    for at in range(BEGIN + POLL, now, POLL):
        while pending and pending[-1].at < at:
            credits += pending.pop().credits
        if random.random() < MISSED_POLLS or any(begin <= at < end for begin, end in down):
            continue
        used = min(100.0, float(round(100 * credits / full)))
        yield Reading(at, used, reset_at + random.randint(-wobble, wobble), WEEK_MINUTES)
