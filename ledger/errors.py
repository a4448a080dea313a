"""Errors of the ledger.

LedgerError
├── StoreError   the database cannot be opened, migrated or read
│   ├── StoreUnavailable   it is locked, full, or its server is down; it may well work later
│   ├── StoreRefused   a value can never be stored; `code` says why without it
│   ├── StoreChanged   it was replaced or written to while it was read
│   └── TooSlow        a question took longer than it may, or was cancelled
├── PriceError   a price is malformed or implausible
├── FilterError  a filter or a question about requests is malformed; the text names the condition
└── AccountError   an account is described wrongly; the text names the account
    ├── UnknownAccount
    └── AccountConflict
        └── AccountExists
"""

from __future__ import annotations


class LedgerError(Exception):
    """Base of all that the ledger raises; its text is one line for a person."""


class StoreError(LedgerError):
    """The store cannot be opened, migrated, written or read."""


class StoreUnavailable(StoreError):
    """The store cannot be used now, which says nothing against what it was asked."""


class StoreRefused(StoreError):
    """A value among what was to be stored will never be taken.

    Attributes:
        code: the driver's name for that; unlike the text it holds nothing of the value.
    """

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


class StoreChanged(StoreError):
    """What was read may be a mixture of before and after; read it again."""


class PriceError(LedgerError):
    """A price entry is malformed, or too far off to be dollars per million tokens."""


class FilterError(LedgerError):
    """What is asked about requests is malformed: the text names the condition and what is allowed."""


class TooSlow(StoreError):
    """A question took longer than it may: ask for a shorter time, or fewer conditions."""


class AccountError(LedgerError):
    """What is asked of an account cannot be; `account_id` and the text name it."""

    def __init__(self, account_id: str, problem: str) -> None:
        super().__init__(f"account {account_id!r}: {problem}")
        self.account_id = account_id


class UnknownAccount(AccountError):
    """There is no such account."""


class AccountConflict(AccountError):
    """What is asked does not fit the account as it is."""


class AccountExists(AccountConflict):
    """Two accounts would have one id."""
