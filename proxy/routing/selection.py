"""The selection: which account of a snapshot takes the next request. Pure.

Each eligible account takes requests in proportion to its share. The caller brings the chance with it, as
a number from 0 to 1: `spread` gives numbers that keep to the shares without the luck of real dice.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence, Set

import msgspec

from ledger.accounts.configured import Pool
from proxy.routing.candidate import Standing
from proxy.routing.score import Tier
from proxy.routing.snapshot import POOLS, Outcome, PoolView, Snapshot

_GOLDEN = 0.6180339887498949
_NOBODY: frozenset[str] = frozenset()
_UNKNOWN = Standing("unknown")


class Selection(msgspec.Struct, frozen=True):
    """Which account was chosen, or why none.

    Attributes:
        kept: the conversation's account of before was taken again.
        retry_at: where none was chosen: epoch seconds at which an account comes back; None: not by itself.
        before: the try in the pinned pool, where that had nobody.
    """

    account: str | None
    pool: Pool
    outcome: Outcome
    tier: Tier | None = None
    score: float = 0.0
    kept: bool = False
    retry_at: float | None = None
    before: Selection | None = None


def select(
    snapshot: Snapshot, draw: float, *, sticky: str | None = None, exclude: Set[str] = _NOBODY
) -> Selection:
    """Choose an eligible account; where there is none, the one that rests after an error and comes back
    first: to try is better than to refuse.

    Args:
        draw: from 0 to below 1.
        sticky: the account that the conversation used before; it is kept while it is eligible.
        exclude: accounts that this request has been sent to already.
    """
    if sticky is not None and sticky not in exclude and snapshot.standings.get(sticky, _UNKNOWN) is None:
        return _chosen(snapshot, sticky, snapshot.accounts[sticky].pool, kept=True)
    before: Selection | None = None
    for pool in POOLS:
        view = snapshot.pools[pool]
        if pool == "pinned" and not view.members:
            continue
        account = _pick(view, draw, exclude)
        if account is not None:
            return _chosen(snapshot, account, pool, before=before)
        outcome: Outcome = "no_available" if view.ids else view.outcome
        before = Selection(None, pool, outcome, retry_at=view.retry_at, before=before)
    assert before is not None
    resting = next((name for name in snapshot.pools["full"].resting if name not in exclude), None)
    return before if resting is None else _chosen(snapshot, resting, "full", before=before.before)


def limited(refusal: Selection, snapshot: Snapshot, resting: Mapping[str, float]) -> Selection:
    """A refusal, where accounts would take other models: it ends when the first of them takes this one.

    Args:
        resting: the accounts that rest for the model, and until when (epoch seconds).
    """
    ends = [until for name, until in resting.items() if snapshot.standings.get(name, _UNKNOWN) is None]
    if not ends or (refusal.retry_at is not None and refusal.retry_at <= min(ends)):
        return refusal
    return msgspec.structs.replace(refusal, outcome="rate_limited", retry_at=min(ends))


def spread(number: int) -> float:
    """The draw of the selection with this number: any run of them is spread evenly over 0 to 1."""
    return number * _GOLDEN % 1.0


def _pick(view: PoolView, draw: float, exclude: Set[str]) -> str | None:
    """The account at a place of the line on which each has a stretch as long as its share."""
    out = sorted(i for i in (_index(view, name) for name in exclude) if i is not None) if exclude else []
    if len(out) == len(view.ids):
        return None
    place = _around(view, draw, out) if out else draw * view.sums[-1]
    found = min(bisect_right(view.sums, place), len(view.ids) - 1)
    while found in out:  # a place on the border, by a rounding error
        found = (found + 1) % len(view.ids)
    return view.ids[found]


def _around(view: PoolView, draw: float, out: Sequence[int]) -> float:
    """A place on the line that is none of these accounts'."""
    place = draw * (view.sums[-1] - sum(_share(view, i) for i in out))
    for index in out:
        if place >= view.sums[index] - _share(view, index):
            place += _share(view, index)
    return place


def _index(view: PoolView, name: str) -> int | None:
    found = bisect_right(view.ids, name) - 1
    return found if found >= 0 and view.ids[found] == name else None


def _share(view: PoolView, index: int) -> float:
    return view.sums[index] - (view.sums[index - 1] if index else 0.0)


def _chosen(
    snapshot: Snapshot, account: str, pool: Pool, *, kept: bool = False, before: Selection | None = None
) -> Selection:
    grade = snapshot.grades[account]
    return Selection(account, pool, "selected", grade.tier, grade.score, kept, None, before)
