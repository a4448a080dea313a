"""The accounts: how many there are of each status, and who is behind an account id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from ledger.requests.queries import Account
from metrics.exporter import ACCOUNT_STATUS, ACCOUNTS, IDENTITY
from metrics.exposition import Samples

IdentityMode = Literal["email", "account_id"]

STATUSES = ("active", "rate_limited", "quota_exceeded", "paused", "reauth_required", "deactivated")
"""Statuses that are always exported, so that an alert on one finds a 0 and not a gap."""


def by_status(accounts: Sequence[Account]) -> Samples:
    """How many accounts have each status; one that is not in STATUSES goes by its own name."""
    counts = Counter(account.status for account in accounts)
    return Samples(ACCOUNTS, {(status,): counts[status] for status in (*STATUSES, *counts)})


def statuses(accounts: Sequence[Account]) -> Samples:
    """A 1 for each account under the status that it has."""
    return Samples(ACCOUNT_STATUS, {(a.id, a.status): 1.0 for a in accounts})


def identities(accounts: Sequence[Account], mode: IdentityMode) -> Samples:
    """A 1 for each account, to join its id to the name to show and to its plan."""
    return Samples(IDENTITY, {(a.id, display(a, mode), a.plan_type): 1.0 for a in accounts})


def display(account: Account, mode: IdentityMode) -> str:
    """The name to show; where an account has no e-mail address it is the id in either mode."""
    return (account.email.strip() or account.id) if mode == "email" else account.id
