"""Quota windows as the provider tells them in passing: response headers and stream events. Pure.

Facts: `x-codex-{primary,secondary}-{used-percent,window-minutes,reset-at,reset-after-seconds}`,
`x-codex-credits-{has-credits,unlimited,balance}`; the event `codex.rate_limits` with the same counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from ledger.values import UsageSample
from proxy.metering.usage import UNREADABLE

WINDOWS = ("primary", "secondary")
MAX_RESET = 40 * 86_400
"""Seconds; a reset that is told for later is not believed. The longest windows are of a month."""

MARK = b'"codex.rate_limits"'
LIMIT_ID = "codex"
"""Other limit ids (of single models, of reviews) are not the account's quota."""


class _Event(msgspec.Struct):
    type: Any = None
    rate_limits: Any = None
    limit_id: Any = None
    metered_limit_name: Any = None


_events = msgspec.json.Decoder(_Event)


def from_headers(headers: Mapping[str, str], account_id: str, now: datetime) -> tuple[UsageSample, ...]:
    """The samples that an answer's headers tell; none where there are none."""

    def ask(window: str, name: str) -> str | None:
        return headers.get(f"x-codex-{window}-{name}")

    credits = (
        _flag(headers.get("x-codex-credits-has-credits")),
        _flag(headers.get("x-codex-credits-unlimited")),
        number(headers.get("x-codex-credits-balance")),
    )
    return _samples(
        lambda window: {
            "used_percent": ask(window, "used-percent"),
            "window_minutes": ask(window, "window-minutes"),
            "reset_at": ask(window, "reset-at"),
            "reset_after_seconds": ask(window, "reset-after-seconds"),
        },
        credits,
        account_id,
        now,
    )


def from_event(data: bytes, account_id: str, now: datetime) -> tuple[UsageSample, ...]:
    """The samples that a `codex.rate_limits` event tells; none for any other event."""
    try:
        event = _events.decode(data)
    except UNREADABLE:
        return ()
    limit = event.limit_id or event.metered_limit_name or LIMIT_ID
    if event.type != "codex.rate_limits" or limit != LIMIT_ID or not isinstance(event.rate_limits, dict):
        return ()
    limits = event.rate_limits
    return _samples(lambda window: limits.get(window), (None, None, None), account_id, now)


def _samples(
    window_of: Callable[[str], object],
    credits: tuple[bool | None, bool | None, float | None],
    account_id: str,
    now: datetime,
) -> tuple[UsageSample, ...]:
    found = []
    for window in WINDOWS:
        told = window_of(window)
        used = number(told.get("used_percent")) if isinstance(told, dict) else None
        if not isinstance(told, dict) or used is None:
            continue
        minutes = number(told.get("window_minutes"))
        has, unlimited, balance = credits
        found.append(
            UsageSample(
                account_id=account_id,
                recorded_at=now,
                window=window,
                used_percent=used,
                reset_at=reset_at(told, now),
                window_minutes=None if minutes is None else int(minutes),
                credits_has=has,
                credits_unlimited=unlimited,
                credits_balance=balance,
            )
        )
    return tuple(found)


def reset_at(told: Mapping[str, object], now: datetime) -> int | None:
    """When a window is reset, in epoch seconds; some answers tell the time left instead.

    Returns: None where it is not told, or not to be believed.
    """
    moment = number(told.get("reset_at")) or number(told.get("resets_at"))
    left = number(told.get("reset_after_seconds")) or number(told.get("resets_in_seconds"))
    if moment is None and left is not None:
        moment = now.timestamp() + left
    return None if moment is None or moment > now.timestamp() + MAX_RESET else int(moment)


def number(value: object) -> float | None:
    """A count as a provider tells it, as number or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if 0 <= found < 1e11 else None


def _flag(value: str | None) -> bool | None:
    return {"true": True, "false": False, "1": True, "0": False}.get((value or "").lower())
