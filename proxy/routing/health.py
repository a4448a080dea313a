"""An account's health: how a verdict or a success changes it, and which of two pictures of it holds. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from math import ceil

from ledger.marks import MARKABLE, Mark
from ledger.samples import Told
from proxy.routing.candidate import Candidate
from proxy.routing.cooldown import backoff, error_pause
from proxy.routing.marks import Verdict

NAMED_SECONDS = 10.0
"""A rate limit of at least so many seconds becomes the account's status; a shorter one is a mere pause."""


def failed(account: Candidate, verdict: Verdict, now: float, draw: float, quota_rest: float) -> Candidate:
    """The account after a failure.

    Args:
        now: epoch seconds.
        draw: from 0 to 1, for the jitter of pauses.
        quota_rest: seconds that a spent quota rests where its reset is not known.
    """
    errors = account.errors + 1
    marked = replace(account, errors=errors, marked_at=now)
    if verdict.status is not None:
        return _with_status(marked, verdict.status, None)
    if verdict.event == "quota_exceeded":
        wait = quota_rest if verdict.retry_after is None else verdict.retry_after
        future = verdict.resets_at is not None and verdict.resets_at > now
        reset_at = verdict.resets_at if future else ceil(now + wait)
        return _with_status(marked, "quota_exceeded", reset_at)
    wait = verdict.retry_after or (error_pause if verdict.event == "error" else backoff)(errors, draw)
    marked = replace(marked, cooldown_until=max(account.cooldown_until, now + wait))
    if verdict.event == "rate_limit" and wait >= NAMED_SECONDS:
        return _with_status(marked, "rate_limited", ceil(now + wait))
    return marked


def succeeded(account: Candidate, now: float) -> Candidate:
    """The account after a success: failures are forgotten, a pause that was asked for is not."""
    return account if account.errors == 0 else replace(account, errors=0, marked_at=now)


def mark(before: Candidate, after: Candidate, verdict: Verdict | None, began_at: float) -> Mark:
    """What the ledger is told of a change; `began_at` is when the attempt was sent, in epoch seconds."""
    changed = after.status != before.status or after.reset_at != before.reset_at
    return Mark(
        account_id=after.id,
        at=datetime.fromtimestamp(after.marked_at, UTC),
        began_at=datetime.fromtimestamp(began_at, UTC),
        event=verdict.event if verdict else "cleared",
        status=after.status if changed else None,
        reset_at=after.reset_at if changed else None,
        code=verdict.code if verdict else None,
        cooldown_until=after.cooldown_until,
        errors=after.errors,
    )


def merged(stored: Candidate, local: Candidate | None) -> Candidate:
    """The account as the ledger has it, with what this process knows better.

    A person's word holds at once: a pause, and everything that came before a new credential, is the
    ledger's to say. Of the rest the later one holds.
    """
    if local is None:
        return stored
    windows = replace(
        stored,
        primary=_later(stored.primary, local.primary),
        secondary=_later(stored.secondary, local.secondary),
    )
    if stored.status not in MARKABLE or local.marked_at <= max(stored.marked_at, stored.renewed_at):
        return windows
    return replace(
        windows,
        status=local.status if local.status != "paused" else stored.status,
        reset_at=local.reset_at,
        cooldown_until=local.cooldown_until,
        errors=local.errors,
        marked_at=local.marked_at,
    )


def _with_status(account: Candidate, status: str, reset_at: int | None) -> Candidate:
    if account.status not in MARKABLE:
        return account
    return replace(account, status=status, reset_at=reset_at)


def _later(one: Told | None, other: Told | None) -> Told | None:
    if one is None or other is None:
        return one or other
    return other if other.at > one.at else one
