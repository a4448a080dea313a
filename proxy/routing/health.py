"""An account's health: how a verdict or a success changes it, and which of two pictures of it holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from math import ceil

from ledger.accounts.marks import MARKABLE, Mark
from ledger.privacy import worded_code
from ledger.quota.samples import Told
from ledger.quota.windows import Slot
from proxy.routing.candidate import FULL, Candidate
from proxy.routing.failure import Verdict, backoff, error_pause

NAMED_SECONDS = 10.0
"""A rate limit of at least so many seconds becomes the account's status; a shorter one is a mere pause."""

FELL_PERCENT = 50.0
"""Percentage points by which a spent window falls at least when a provider resets quota before its time.
Answers that overtake each other tell of less, and so does a window that was not the spent one."""


def failed(
    account: Candidate, verdict: Verdict, began_at: float, now: float, draw: float, quota_rest: float
) -> Candidate:
    """The account after a failure; one that is out for good, or by a person's word, stays as it is.

    Args:
        began_at: epoch seconds at which the attempt was sent.
        now: epoch seconds.
        draw: from 0 to 1, for the jitter of pauses.
        quota_rest: seconds that a spent quota rests where its reset is not known.
    """
    if account.status not in MARKABLE or began_at < account.resumed_at:
        return account
    # What was under way when the last failure was noticed tells of the same trouble, not of one more.
    again = account.errors > 0 and began_at <= account.marked_at
    errors = account.errors if again else account.errors + 1
    marked = replace(account, errors=errors, marked_at=now, began_at=began_at)
    if verdict.status is not None:
        return replace(marked, status=verdict.status, reset_at=None)
    known = (account.reset_at or 0) if again and account.status == "quota_exceeded" else 0
    if verdict.event == "quota_exceeded":
        wait = quota_rest if verdict.retry_after is None else verdict.retry_after
        future = verdict.resets_at is not None and verdict.resets_at > now
        reset_at = verdict.resets_at if future else max(known, ceil(now + wait))
        return replace(marked, status="quota_exceeded", reset_at=reset_at)
    if verdict.event == "error" and not verdict.retry_after:
        rest = now + error_pause(errors, draw)
        return replace(marked, cooldown_until=max(account.cooldown_until, rest))
    wait = verdict.retry_after or backoff(errors, draw)
    marked = replace(marked, wait_until=max(account.wait_until, now + wait))
    if verdict.event == "rate_limit" and wait >= NAMED_SECONDS and known <= now + wait:
        return replace(marked, status="rate_limited", reset_at=ceil(now + wait))
    return marked


def succeeded(account: Candidate, began_at: float, now: float) -> Candidate:
    """The account after a success: failures are forgotten, a pause that was asked for is not. What was under
    way when the last failure was noticed proves nothing."""
    if account.errors == 0 or began_at <= account.marked_at:
        return account
    return replace(account, errors=0, marked_at=now, began_at=began_at)


def informed(account: Candidate, told: Mapping[Slot, Told], now: float) -> Candidate:
    """The account after a word on its quota windows; of two words on one window the later holds.

    A provider may reset quota before its time, for everybody at once. Then a spent quota is no reason
    to wait for the reset that was named.

    Args:
        now: epoch seconds.
    """
    known = replace(
        account,
        primary=_later(told.get("primary"), account.primary),
        secondary=_later(told.get("secondary"), account.secondary),
    )
    fell = [new.at.timestamp() for slot, new in told.items() if _fell(getattr(account, slot), new, now)]
    room = all(window.used(now) < FULL for window in (known.primary, known.secondary) if window)
    if account.status != "quota_exceeded" or not room or max(fell, default=0.0) <= account.marked_at:
        return known
    return replace(known, status="active", reset_at=None, errors=0, marked_at=now, began_at=max(fell))


def mark(before: Candidate, after: Candidate, verdict: Verdict | None) -> Mark:
    """What the ledger is told of a change."""
    changed = after.status != before.status or after.reset_at != before.reset_at
    return Mark(
        account_id=after.id,
        at=datetime.fromtimestamp(after.marked_at, UTC),
        began_at=datetime.fromtimestamp(after.began_at, UTC),
        event=verdict.event if verdict else "cleared",
        status=after.status if changed else None,
        reset_at=after.reset_at if changed else None,
        code=worded_code(verdict.code) if verdict else None,
        wait_until=after.wait_until,
        cooldown_until=after.cooldown_until,
        errors=after.errors,
    )


def merged(stored: Candidate, local: Candidate | None) -> Candidate:
    """The account as the ledger has it, with what this process knows better.

    A person's word holds at once: a pause is the ledger's to say, and after a resume or a new credential
    nothing counts that was noticed before, whatever the clocks say. Of the rest the later one holds.
    """
    if local is None or local.resumed_at != stored.resumed_at:
        return stored
    windows = replace(
        stored,
        primary=_later(stored.primary, local.primary),
        secondary=_later(stored.secondary, local.secondary),
    )
    if local.marked_at <= stored.marked_at or stored.status not in MARKABLE:
        return windows
    return replace(
        windows,
        status=local.status,
        reset_at=local.reset_at,
        wait_until=local.wait_until,
        cooldown_until=local.cooldown_until,
        errors=local.errors,
        marked_at=local.marked_at,
        began_at=local.began_at,
    )


def _fell(before: Told | None, new: Told, now: float) -> bool:
    """Whether a window was reset before its time; one whose reset has passed begins at nothing."""
    return before is not None and before.used(now) - new.used(now) >= FELL_PERCENT


def _later(one: Told | None, other: Told | None) -> Told | None:
    if one is None or other is None:
        return one or other
    return other if other.at > one.at else one
