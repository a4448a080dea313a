"""The quota windows of each account: how full they are, when they end, what is left of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from exporter.source import Usage
from ledger.quota.capacity import PRIMARY_MINUTES, SECONDARY_MINUTES, Capacity, remaining_credits
from ledger.quota.windows import Window
from metrics.exporter import (
    PRIMARY_CREDITS,
    PRIMARY_RESET,
    PRIMARY_USED,
    PRIMARY_WINDOW,
    SECONDARY_CREDITS,
    SECONDARY_RESET,
    SECONDARY_RESETS,
    SECONDARY_USED,
    SECONDARY_WINDOW,
    WINDOW_RESET,
    WINDOW_USED,
)
from metrics.exposition import Samples
from metrics.family import MetricFamily

Values = dict[tuple[str, ...], float]


def windows(usages: Sequence[Usage], capacities: Mapping[str, Capacity]) -> tuple[Samples, ...]:
    """All families of the windows; what is not known of an account has no value.

    Args:
        capacities: credits by plan, in lower case.
    """
    primary = {usage.account.id: window for usage in usages if (window := usage.shown.primary)}
    secondary = {usage.account.id: window for usage in usages if (window := usage.shown.secondary)}
    return (
        *_standing(primary, PRIMARY_USED, PRIMARY_RESET, PRIMARY_WINDOW),
        *_standing(secondary, SECONDARY_USED, SECONDARY_RESET, SECONDARY_WINDOW),
        *_credits(usages, capacities),
        *_every(usages),
        Samples(SECONDARY_RESETS, {(usage.account.id,): usage.resets for usage in usages}),
    )


def _every(usages: Sequence[Usage]) -> tuple[Samples, ...]:
    """Each window of each account under what people call it."""
    named = {(usage.account.id, name): w for usage in usages for name, w in usage.shown.every.items()}
    return (
        Samples(WINDOW_USED, {labels: w.used_percent for labels, w in named.items()}),
        Samples(WINDOW_RESET, {labels: w.reset_at for labels, w in named.items() if w.reset_at is not None}),
    )


def _standing(
    windows: Mapping[str, Window], used: MetricFamily, reset: MetricFamily, length: MetricFamily
) -> tuple[Samples, ...]:
    """Percent, end and length of the windows of one slot, by account id."""
    return (
        Samples(used, {(id,): w.used_percent for id, w in windows.items()}),
        Samples(reset, {(id,): w.reset_at for id, w in windows.items() if w.reset_at is not None}),
        Samples(length, {(id,): w.minutes for id, w in windows.items() if w.minutes is not None}),
    )


def _credits(usages: Sequence[Usage], capacities: Mapping[str, Capacity]) -> tuple[Samples, ...]:
    primary, secondary = Values(), Values()
    for usage in usages:
        capacity, key = capacities.get(usage.account.plan_type), (usage.account.id,)
        if capacity is None:
            continue
        if (window := usage.shown.primary) and _lasts(window, PRIMARY_MINUTES):
            primary[key] = remaining_credits(capacity.primary, window.used_percent)
        if (window := usage.shown.secondary) and _lasts(window, SECONDARY_MINUTES):
            secondary[key] = remaining_credits(capacity.secondary, window.used_percent)
    return Samples(PRIMARY_CREDITS, primary), Samples(SECONDARY_CREDITS, secondary)


def _lasts(window: Window, minutes: int) -> bool:
    """Whether a window has the length that the capacity is known for."""
    return window.minutes in (None, minutes)
