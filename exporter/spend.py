"""What each account has spent since its weekly reset, what its week is worth; how fresh the ledger is."""

from __future__ import annotations

from collections.abc import Mapping

from ledger.quota.estimate import QuotaEstimate
from metrics.exporter import (
    ACCOUNT_COST_7D,
    ACCOUNT_CYCLE_COST,
    ACCOUNT_UNPRICED_7D,
    ESTIMATE_SUPPRESSED,
    IMPLIED_QUOTA_7D,
    NEWEST_REQUEST,
    STORE_BYTES,
    UNEXPLAINED_7D,
    USED_DELTA_7D,
)
from metrics.exposition import Samples


def newest(ended: int | None) -> Samples:
    """Seconds since 1970 of microseconds; no value at all where no request is stored, for 0 would be a
    date."""
    return Samples(NEWEST_REQUEST, {} if ended is None else {(): ended / 1_000_000})


def size(stored: int) -> Samples:
    """Bytes of the store."""
    return Samples(STORE_BYTES, {(): float(stored)})


Estimates = Mapping[str, QuotaEstimate]
"""By account id."""

Values = dict[tuple[str, ...], float]


def spend(estimates: Estimates) -> tuple[Samples, ...]:
    """US dollars of the priced requests, and beside them how many have no price.

    As a part of the estimate they are not given where that is suppressed: whoever divided the two parts
    would get the very answer that is held back.
    """
    spent: Values = {(id,): float(e.sums.usd) for id, e in estimates.items()}
    return (
        Samples(ACCOUNT_CYCLE_COST, spent),
        Samples(ACCOUNT_COST_7D, {(id,): spent[id,] for id, e in estimates.items() if not e.reasons}),
        Samples(ACCOUNT_UNPRICED_7D, {(id,): e.sums.unpriced for id, e in estimates.items()}),
    )


def quota(estimates: Estimates) -> tuple[Samples, ...]:
    """Percent used and implied quota, or the reasons why there is none."""
    told = {id: e for id, e in estimates.items() if not e.reasons}
    used: Values = {(id,): e.used_percent for id, e in told.items() if e.used_percent is not None}
    implied: Values = {(id,): e.usd for id, e in estimates.items() if e.usd is not None}
    beside: Values = {(id,): e.unexplained for id, e in estimates.items() if e.unexplained is not None}
    reasons: Values = {(id, reason): 1.0 for id, e in estimates.items() for reason in e.reasons}
    return (
        Samples(USED_DELTA_7D, used),
        Samples(IMPLIED_QUOTA_7D, implied),
        Samples(ESTIMATE_SUPPRESSED, reasons),
        Samples(UNEXPLAINED_7D, beside),
    )
