"""Quota arithmetic in PromQL: for alerts and panels alike. Everything is by account."""

from __future__ import annotations

from metrics import exporter as exporter_metrics
from prometheus.promql import one_of, select

OUT_OF_USE = ("paused", "deactivated", "reauth_required")

_MIN_ELAPSED_SECONDS = 60
"""So that the first moments of a window do not divide by nothing."""


def seconds_to_reset() -> str:
    """Seconds until the weekly window resets; below 0 where the exporter has heard nothing since."""
    return f"{select(exporter_metrics.SECONDARY_RESET)} - time()"


def unless_out_of_use() -> str:
    """Leaves out accounts that take no requests: paused ones, and those that are lost."""
    status = select(exporter_metrics.ACCOUNT_STATUS, one_of("status", OUT_OF_USE))
    return f"unless on (job, instance, account_id) {status}"


def projected_unused_percent() -> str:
    """How much of the weekly quota will be left over at the reset, in percent of it, where use goes on as
    since the window began: 100 - used * window / elapsed, at least 0."""
    used, window = (
        select(family) for family in (exporter_metrics.SECONDARY_USED, exporter_metrics.SECONDARY_WINDOW)
    )
    left = f"clamp_min({seconds_to_reset()}, 0)"
    elapsed = f"clamp_min({window} * 60 - {left}, {_MIN_ELAPSED_SECONDS})"
    return f"clamp_min(100 - {used} * {window} * 60 / {elapsed}, 0)"
