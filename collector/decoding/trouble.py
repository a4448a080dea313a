"""An item of the errors channel -> what it says of an account. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from collector.decoding.failures import CANCELED, CLIENT_GONE, failure_of
from collector.decoding.fields import Undecodable, count, flag, moment, table, text
from collector.decoding.providers import provider_of
from collector.decoding.record import account_id
from ledger.accounts.marks import Mark
from ledger.gateways.values import GatewayFailure


@dataclass(frozen=True, slots=True)
class Trouble:
    """What the gateway noticed of one of its accounts.

    Attributes:
        failure: for the list of failures.
        mark: for the account's state.
    """

    failure: GatewayFailure
    mark: Mark


def trouble_of(document: Mapping[str, Any], identity: str, gateway: str) -> Trouble | None:
    """What an item of the errors channel says; None for a client that left: that is no account's trouble.

    Raises: Undecodable.
    """
    at = moment(document.get("timestamp"))
    auth = text(document, "auth_index")
    if at is None or auth is None or "auth_status" not in document:
        raise Undecodable("no error event: timestamp, auth_index and auth_status are needed")
    status = count(document, "status_code") or 500
    if status == CLIENT_GONE or text(document, "body") == CANCELED:
        return None
    model = text(document, "model")
    failure = failure_of(status, text(document, "body"), text(document, "code"))
    account = account_id(gateway, auth)
    listed = GatewayFailure(
        id=identity,
        gateway=gateway,
        account_id=account,
        at=at,
        provider=provider_of(text(document, "provider"), model),
        model=model,
        http_status=status,
        code=failure.code,
        error_class=failure.kind,
        message=failure.message,
        retryable=flag(document, "retryable") or False,
    )
    return Trouble(listed, _mark(table(document, "auth_status"), listed))


def _mark(auth: Mapping[str, Any], failure: GatewayFailure) -> Mark:
    """The account's state: a spent quota until it recovers, a rate limit until the next try. A refused key
    alone is no end of an account: the gateway says `disabled` where it gave it up."""
    quota = table(auth, "quota")
    retry = moment(auth.get("next_retry_after"))
    recovers = moment(quota.get("next_recover_at")) or retry
    account, at, code = failure.account_id, failure.at, failure.code
    if quota.get("exceeded") is True:
        return Mark(account, at, at, "quota_exceeded", "quota_exceeded", _epoch(recovers), code)
    if failure.http_status == 429 and retry is not None:
        return Mark(account, at, at, "rate_limit", "rate_limited", _epoch(retry), code)
    until = retry.timestamp() if retry is not None and auth.get("unavailable") is True else 0.0
    return Mark(account, at, at, "error", None, None, code, until, 1)


def _epoch(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp())
