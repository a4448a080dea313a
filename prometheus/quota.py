"""Quota arithmetic in PromQL: for alerts and panels alike. Everything is by account."""

from __future__ import annotations

from collections.abc import Callable

from metrics import exporter as exporter_metrics
from metrics.family import MetricFamily
from prometheus.promql import one_of, select

Pick = Callable[[MetricFamily], str]
"""How a gauge is asked for: as it is scraped, or by account from whichever exporter has it."""

OUT_OF_USE = ("paused", "deactivated", "reauth_required")

_MIN_ELAPSED_SECONDS = 60
"""So that the first moments of a window do not divide by nothing."""


def seconds_to_reset(pick: Pick = select) -> str:
    """Seconds until the weekly window resets; below 0 where the exporter has heard nothing since."""
    return f"{pick(exporter_metrics.SECONDARY_RESET)} - time()"


def elapsed_seconds(pick: Pick = select) -> str:
    """Seconds since the weekly window began, at least a minute."""
    left = f"clamp_min({seconds_to_reset(pick)}, 0)"
    return f"clamp_min({pick(exporter_metrics.SECONDARY_WINDOW)} * 60 - {left}, {_MIN_ELAPSED_SECONDS})"


def unless_out_of_use() -> str:
    """Leaves out accounts that take no requests: paused ones, and those that are lost."""
    status = select(exporter_metrics.ACCOUNT_STATUS, one_of("status", OUT_OF_USE))
    return f"unless on (job, instance, account_id) {status}"


def projected_unused_percent(pick: Pick = select) -> str:
    """How much of the weekly quota will be left over at the reset, in percent of it, where use goes on as
    since the window began: 100 - used * window / elapsed, at least 0."""
    used, window = pick(exporter_metrics.SECONDARY_USED), pick(exporter_metrics.SECONDARY_WINDOW)
    return f"clamp_min(100 - {used} * {window} * 60 / {elapsed_seconds(pick)}, 0)"
