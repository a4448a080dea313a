"""Errors of the ledger.

LedgerError
├── StoreError   the database cannot be opened, migrated or read
└── PriceError   a price is malformed or implausible
"""

from __future__ import annotations


class LedgerError(Exception):
    """Base of all that the ledger raises; its text is one line for a person."""


class StoreError(LedgerError):
    """The store cannot be opened, migrated, written or read."""


class PriceError(LedgerError):
    """A price entry is malformed, or too far off to be dollars per million tokens."""
