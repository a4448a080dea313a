"""All accounts at one moment, made ready so that a selection costs next to nothing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from ledger.accounts.configured import Pool
from proxy.routing.candidate import Candidate, Standing, standing
from proxy.routing.score import Tier, Weights, score, share, tier_of

Outcome = Literal[
    "selected",
    "paused",
    "auth",
    "paused_or_auth",
    "quota_exceeded",
    "rate_limited",
    "cooldown",
    "no_available",
    "unknown",
]
POOLS: tuple[Pool, ...] = ("pinned", "full")


@dataclass(frozen=True, slots=True)
class Grade:
    """An eligible account's tier, its score, and its share of the requests beside the others."""

    tier: Tier
    score: float
    share: float


@dataclass(frozen=True, slots=True)
class PoolView:
    """One pool.

    Attributes:
        members: how many accounts it has.
        ids: the eligible ones, by id.
        sums: for each of them the shares up to and with its own.
        resting: those that may be asked when there is no eligible one, the first to come back first.
        outcome: why there is none, where `ids` is empty.
        retry_at: epoch seconds at which the first of the others comes back; None: not by itself.
    """

    members: int
    ids: tuple[str, ...]
    sums: tuple[float, ...]
    resting: tuple[str, ...]
    outcome: Outcome
    retry_at: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All accounts at one moment.

    Attributes:
        taken_at: epoch seconds.
        fresh_until: epoch seconds from which an account that is out now is eligible again; a snapshot
            is not to be used any longer.
        grades: of the eligible accounts and the resting ones, by id.
        standings: what stands against an account, by id; None for an eligible one.
    """

    taken_at: float
    fresh_until: float
    accounts: Mapping[str, Candidate]
    grades: Mapping[str, Grade]
    standings: Mapping[str, Standing | None]
    pools: Mapping[Pool, PoolView]


def snapshot(accounts: Iterable[Candidate], weights: Weights, now: float) -> Snapshot:
    """Accounts as they stand at an epoch second; their order does not matter."""
    ordered = sorted(accounts, key=lambda a: a.id)
    standings = {account.id: standing(account, now) for account in ordered}
    grades = {a.id: _grade(a, weights, now) for a in ordered if (s := standings[a.id]) is None or s.soft}
    ends = [s.until for s in standings.values() if s is not None and s.until is not None]
    pinned = [a.id for a in ordered if a.pool == "pinned"]
    return Snapshot(
        taken_at=now,
        fresh_until=min(ends, default=float("inf")),
        accounts={account.id: account for account in ordered},
        grades=grades,
        standings=standings,
        pools={
            "pinned": _view(pinned, standings, grades),
            "full": _view([a.id for a in ordered], standings, grades),
        },
    )


def _grade(account: Candidate, weights: Weights, now: float) -> Grade:
    tier = tier_of(account.plan)
    weight = weights.of(tier)
    reset_at = account.secondary.reset_at if account.secondary else None
    return Grade(tier, score(weight, reset_at, now), share(weight, reset_at, now))


def _view(
    members: list[str], standings: Mapping[str, Standing | None], grades: Mapping[str, Grade]
) -> PoolView:
    ids = tuple(name for name in members if standings[name] is None)
    out = [s for name in members if (s := standings[name]) is not None]
    soft = [(s.until or 0.0, name) for name in members if (s := standings[name]) is not None and s.soft]
    first = min((s for s in out if s.until is not None), key=lambda s: s.until or 0.0, default=None)
    return PoolView(
        members=len(members),
        ids=ids,
        sums=tuple(accumulate(grades[name].share for name in ids)),
        resting=tuple(name for _, name in sorted(soft)),
        outcome=first.reason if first else _outcome(out),
        retry_at=first.until if first else None,
    )


def _outcome(out: list[Standing]) -> Outcome:
    """Why nobody comes back by itself."""
    reasons = {s.reason for s in out}
    if not reasons:
        return "no_available"
    if reasons == {"paused", "auth"}:
        return "paused_or_auth"
    return reasons.pop() if len(reasons) == 1 else "unknown"
