"""Who is metered: the accounts whose quota is used and the keys that use it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random


@dataclass(frozen=True, slots=True)
class SimulatedAccount:
    """One account at the provider.

    Attributes:
        share: relative number of requests.
        week_usd, five_hours_usd: what its quota windows are truly worth, in US dollars of priced usage.
        cycle_hour: when its week begins, in hours since Monday 00:00 UTC.
    """

    id: str
    email: str
    plan_type: str
    share: float
    week_usd: float
    five_hours_usd: float
    cycle_hour: int
    status: str = "active"


FLEET: tuple[SimulatedAccount, ...] = (
    SimulatedAccount("acc-anna", "anna@example.com", "pro", 30, 120, 15, 9),
    SimulatedAccount("acc-ben", "ben@example.com", "team", 20, 60, 8, 33),
    SimulatedAccount("acc-chloe", "chloe@example.com", "plus", 16, 45, 6, 60),
    SimulatedAccount("acc-dmitri", "dmitri@example.com", "plus", 14, 50, 6, 83),
    SimulatedAccount("acc-eve", "eve@example.com", "team", 12, 36, 5, 106),
    SimulatedAccount("acc-farid", "farid@example.com", "business", 8, 90, 11, 130),
)
"""At the plan's usual rate they use from a fifth to nine tenths of their weeks."""

USUAL_PER_DAY = 1_430.0
"""Requests a day that the fleet's quotas fit."""


def scaled(fleet: tuple[SimulatedAccount, ...], requests_per_day: float) -> tuple[SimulatedAccount, ...]:
    """The fleet with quotas that fit so many requests."""
    factor = requests_per_day / USUAL_PER_DAY
    return tuple(
        replace(a, week_usd=a.week_usd * factor, five_hours_usd=a.five_hours_usd * factor) for a in fleet
    )


def account_key(account_id: str) -> str:
    """The key of a simulated account; no provider has ever seen it."""
    return f"sk-simulated-{account_id}-{sum(account_id.encode()):04d}"


SECRETS: tuple[str, ...] = (
    "sk-proj-simulated-caller-k7Qa",
    "sk-proj-simulated-caller-Zt2m",
    "sk-proj-simulated-caller-9wLd",
    "sk-proj-simulated-caller-eB4x",
    "sk-svcacct-simulated-caller-Hn6c",
    "sk-svcacct-simulated-caller-u3Rf",
    "sess-simulated-caller-Vy8p",
    "letme-in",
)
"""What simulated callers present; the first ones are the busiest. No provider has ever seen them."""

KEYS: tuple[str, ...] = (
    "sk-p...k7Qa",
    "sk-p...Zt2m",
    "sk-p...9wLd",
    "sk-p...eB4x",
    "sk-s...Hn6c",
    "sk-s...u3Rf",
    "sess...Vy8p",
    "short_key",
)
"""The same, masked as the ledger keeps them."""

PROJECTS: tuple[str | None, ...] = (
    "web-shop",
    "search",
    "web-shop",
    "support-bot",
    "nightly-reports",
    "search",
    None,
    None,
)
"""What each of these callers works on, as it says itself; two say nothing."""

CLIENTS: tuple[str, ...] = ("codex_cli_rs/0.88.0", "OpenAI/Python 3.52.0", "OpenAI/JS 7.4.0", "curl/8.11.0")


def busy_caller(count: int, rng: Random) -> int:
    """An index below `count`; each caller is three quarters as busy as the one before."""
    return rng.choices(range(count), [0.75**i for i in range(count)])[0]
