"""One account as the router sees it, and whether it can take a request. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ledger.accounts.configured import Description, Pool
from ledger.accounts.pool import Member
from ledger.quota.samples import Told
from proxy.accounts.credentials import Kind

Host = Literal["api", "backend"]
"""Where a request goes: below the public base path, or to the ChatGPT backend."""

HOSTS: tuple[Host, ...] = ("api", "backend")
_SPEAKS: dict[Kind, tuple[Host, ...]] = {"key": ("api",), "login": ("backend",)}

Reason = Literal["paused", "auth", "quota_exceeded", "rate_limited", "cooldown", "unknown"]
"""Why an account cannot take a request."""

FULL = 100.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One account.

    Attributes:
        status: as in the ledger.
        reset_at: epoch seconds at which a passing status (rate_limited, quota_exceeded) ends.
        wait_until: epoch seconds before which the provider said not to ask it; 0: none.
        cooldown_until: epoch seconds before which it is left alone by our own caution after errors; nobody
            asked for that. 0: none.
        errors: failures since the last success.
        marked_at: epoch seconds of the last change to status, waits or errors.
        began_at: epoch seconds at which the request was sent that led to that change.
        resumed_at: epoch seconds at which a person last said that it is well, or gave it a credential.
        primary, secondary: its quota windows as last told; None where nothing was.
        hosts: where its credential is good for anything.
        usable: whether this process holds its credential.
    """

    id: str
    plan: str = "api"
    status: str = "active"
    pool: Pool = "full"
    reset_at: int | None = None
    wait_until: float = 0.0
    cooldown_until: float = 0.0
    errors: int = 0
    marked_at: float = 0.0
    began_at: float = 0.0
    resumed_at: float = 0.0
    primary: Told | None = None
    secondary: Told | None = None
    hosts: tuple[Host, ...] = HOSTS
    usable: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """Why an account cannot take a request.

    Attributes:
        until: epoch seconds; None: until somebody acts.
        soft: it only rests after an error; when nobody else is there it may be asked all the same.
    """

    reason: Reason
    until: float | None = None
    soft: bool = False


def standing(account: Candidate, now: float) -> Standing | None:
    """What stands against an account at an epoch second; None when it can take a request."""
    if account.status == "paused":
        return Standing("paused")
    if account.status in ("reauth_required", "deactivated") or not account.usable:
        return Standing("auth")
    if account.status in ("quota_exceeded", "rate_limited"):
        if account.reset_at is None or account.reset_at > now:
            reason: Reason = "quota_exceeded" if account.status == "quota_exceeded" else "rate_limited"
            return Standing(reason, account.reset_at)
    elif account.status != "active":
        return Standing("unknown")
    if (reset := _full_until(account.secondary, now)) is not None:
        return Standing("quota_exceeded", reset)
    if (reset := _full_until(account.primary, now)) is not None:
        return Standing("rate_limited", reset)
    if account.wait_until > now:
        return Standing("cooldown", account.wait_until)
    if account.cooldown_until > now:
        return Standing("cooldown", account.cooldown_until, soft=True)
    return None


def candidate(member: Member, kind: Kind | None = "key") -> Candidate:
    """An account as the ledger knows it.

    Args:
        kind: of the credential that this process holds for it; None where it has none.
    """
    return Candidate(
        hosts=_hosts(member.account, kind),
        usable=kind is not None,
        id=member.account.id,
        plan=member.account.plan,
        status=member.status,
        pool=member.account.pool,
        reset_at=member.reset_at,
        wait_until=member.wait_until,
        cooldown_until=member.cooldown_until,
        errors=member.errors,
        marked_at=member.marked_at.timestamp() if member.marked_at else 0.0,
        resumed_at=member.resumed_at.timestamp() if member.resumed_at else 0.0,
        primary=member.primary,
        secondary=member.secondary,
    )


def _hosts(account: Description, kind: Kind | None) -> tuple[Host, ...]:
    """Where an account can be of use: one with a provider of its own everywhere, else by its credential."""
    if account.upstream_base_url is not None:
        return HOSTS
    return _SPEAKS[kind or ("login" if account.credential.startswith("codex:") else "key")]


def _full_until(window: Told | None, now: float) -> float | None:
    """When a window that is used up resets; None for one that is not, or whose reset is not known."""
    if window is None or window.used_percent < FULL or window.reset_at is None or window.reset_at <= now:
        return None
    return float(window.reset_at)
