"""`python -m ledger failure ID`: what a provider answered to a request that failed, on this machine alone."""

from __future__ import annotations

import argparse
from typing import Any

from sqlalchemy import Connection

from ledger.errors import LedgerError
from ledger.requests.failure_bodies import FailureBody, of_request

HELP = "print the provider's response to a failed request, if storage.failure_bodies is on"


def add_failure(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("id", help="the number in the URL of the request's page, or its request id")


def failure(connection: Connection, id: str, *, kept: bool, days: float) -> str:
    """The answers to a request's attempts.

    Args:
        kept, days: as the configuration says.
    Raises: LedgerError where there are none.
    """
    found = of_request(connection, id)
    if not found:
        raise LedgerError(
            f"{id!r}: no such request; allowed: the number in the URL of its page, or its request id"
        )
    if any(one.body for one in found):
        return "\n\n".join(_text(one) for one in found if one.body)
    why = f"it did not fail, or it is older than {days:g} days" if kept else "storage.failure_bodies is false"
    raise LedgerError(f"no response is stored for request {id}: {why}")


def _text(one: FailureBody) -> str:
    head: list[Any] = [f"{one.requested_at:%Y-%m-%d %H:%M:%S}Z", one.model, one.account_id]
    head += [f"HTTP {one.http_status}", one.error_code]
    named = " · ".join(printable(str(word)) for word in head if word)
    return f"request {one.id} · {named}\n{printable(one.body or '')}"


def printable(text: str) -> str:
    """Without what a terminal would obey, or what would turn the order of the letters."""
    return "".join(c if c in "\n\t" or c.isprintable() else ascii(c)[1:-1] for c in text)
