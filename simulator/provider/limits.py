"""How a Codex provider tells how much of an account's quota is used: in headers, and in a stream event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Window:
    """One quota window. `reset_at` is in epoch seconds, `used_percent` runs from 0 to 100."""

    used_percent: float
    window_minutes: int
    reset_at: int


@dataclass(frozen=True, slots=True)
class Credits:
    """Purchased credits; `balance` in credits."""

    has_credits: bool = False
    unlimited: bool = False
    balance: float | None = None


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What is told beside an answer; a part that is None is not told."""

    primary: Window | None = None
    secondary: Window | None = None
    credits: Credits | None = None


def headers(limits: RateLimits) -> tuple[tuple[str, str], ...]:
    """`x-codex-*` response headers."""
    told: list[tuple[str, str]] = []
    for name, window in (("primary", limits.primary), ("secondary", limits.secondary)):
        if window is not None:
            told += [
                (f"x-codex-{name}-used-percent", f"{window.used_percent:g}"),
                (f"x-codex-{name}-window-minutes", str(window.window_minutes)),
                (f"x-codex-{name}-reset-at", str(window.reset_at)),
            ]
    if limits.credits is not None:
        told += [
            ("x-codex-credits-has-credits", str(limits.credits.has_credits)),
            ("x-codex-credits-unlimited", str(limits.credits.unlimited)),
        ]
        if limits.credits.balance is not None:
            told.append(("x-codex-credits-balance", f"{limits.credits.balance:g}"))
    return tuple(told)


def event(limits: RateLimits) -> dict[str, Any]:
    """The `codex.rate_limits` event of a stream."""
    return {
        "type": "codex.rate_limits",
        "plan_type": "plus",
        "rate_limits": {
            "allowed": True,
            "limit_reached": False,
            "primary": _window(limits.primary),
            "secondary": _window(limits.secondary),
        },
        "code_review_rate_limits": None,
        "credits": _credits(limits.credits),
        "promo": None,
    }


def _window(window: Window | None) -> dict[str, Any] | None:
    if window is None:
        return None
    return {
        "used_percent": window.used_percent,
        "window_minutes": window.window_minutes,
        "reset_at": window.reset_at,
    }


def _credits(credits: Credits | None) -> dict[str, Any] | None:
    if credits is None:
        return None
    return {
        "has_credits": credits.has_credits,
        "unlimited": credits.unlimited,
        "balance": credits.balance,
    }
