"""Accounts that a person should look at: what is proposed, on which evidence, and what a person said of it.

Nothing here changes an account. Failed logins alone propose a look, never more: a provider may answer 401 or
403 for many reasons. What a person has settled comes back only with newer evidence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import Connection, func, or_, select

from ledger.errors import AccountError
from ledger.schema import account_decisions, account_marks, accounts, request_logs
from ledger.store import upsert

Kind = Literal["reauth", "remove", "review"]
"""Give it a new credential; take it out of use; look at it."""

Decision = Literal["ignored", "resolved"]
"""Not to be shown for IGNORED_FOR, whatever comes; settled, unless it happens again."""

PROPOSED: dict[str, Kind] = {"reauth_required": "reauth", "deactivated": "remove"}
"""What is proposed for a status."""

LOOK_BACK = timedelta(days=7)
IGNORED_FOR = timedelta(days=7)

FAILED_LOGINS = 3
"""So many failed logins make an account that is in use one to look at."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One proposal.

    Attributes:
        evidence: codes of what was noticed, the most frequent first.
        hits: how many failed requests say so.
        first_seen, last_seen: of these; of a status without requests, when it was noticed.
    """

    account_id: str
    kind: Kind
    status: str
    evidence: tuple[str, ...]
    hits: int
    first_seen: datetime | None
    last_seen: datetime | None


def candidates(connection: Connection, now: datetime) -> tuple[Candidate, ...]:
    """What is proposed now and was not settled; what is dead first, then by the number of failures."""
    settled = _settled(connection)
    found = [
        candidate
        for row in connection.execute(_known())
        if (candidate := _candidate(row, _failures(connection, row, now)))
        and not _is_settled(candidate, settled, now)
    ]
    return tuple(sorted(found, key=lambda one: (one.kind == "review", -one.hits, one.account_id)))


def decide(
    connection: Connection, account_id: str, kind: str, decision: str, at: datetime, actor: str | None
) -> None:
    """Remember what a person said of a proposal. Raises: AccountError."""
    for name, value, allowed in (("kind", kind, Kind), ("decision", decision, Decision)):
        if value not in get_args(allowed):
            raise AccountError(account_id, f"unknown {name}; allowed: {', '.join(get_args(allowed))}")
    row = {"account_id": account_id, "kind": kind, "decision": decision, "at": at, "actor": actor}
    upsert(connection, account_decisions, ("account_id", "kind"), [row])


def _known() -> Any:
    table, mark = accounts.c, account_marks.c
    return (
        select(table.id, table.status, table.deactivation_reason, table.resumed_at, mark.marked_at)
        .select_from(accounts.outerjoin(account_marks, mark.account_id == table.id))
        .where(table.delete_requested_at.is_(None))
        .order_by(table.id)
    )


def _failures(connection: Connection, account: Any, now: datetime) -> list[Any]:
    """Failed logins of an account since a person last said that it is well."""
    log = request_logs.c
    since = max(now - LOOK_BACK, account.resumed_at or now - LOOK_BACK)
    code = func.coalesce(log.error_code, "")
    query = (
        select(code, log.http_status, func.count(), func.min(log.requested_at), func.max(log.requested_at))
        .where(
            log.account_id == account.id,
            log.requested_at >= since,
            log.status == "error",
            log.deleted_at.is_(None),
            or_(log.error_class == "auth", log.http_status.in_((401, 403))),
        )
        .group_by(code, log.http_status)
    )
    return sorted(connection.execute(query), key=lambda row: -row[2])


def _candidate(account: Any, failures: list[Any]) -> Candidate | None:
    status = account.status.casefold()
    hits = sum(row[2] for row in failures)
    kind = PROPOSED.get(status)
    if kind is None and (status == "paused" or hits < FAILED_LOGINS):
        return None
    noticed = [account.marked_at] if kind and account.marked_at else []
    firsts, lasts = [row[3] for row in failures] + noticed, [row[4] for row in failures] + noticed
    return Candidate(
        account.id,
        kind or "review",
        status,
        _evidence([account.deactivation_reason], failures),
        hits,
        min(firsts, default=None),
        max(lasts, default=None),
    )


def _evidence(reasons: Iterable[str | None], failures: list[Any]) -> tuple[str, ...]:
    codes = [row[0] or (f"HTTP {row[1]}" if row[1] else "") for row in failures]
    return tuple(dict.fromkeys(code for code in [*reasons, *codes] if code))


def _settled(connection: Connection) -> dict[tuple[str, str], Any]:
    return {(row.account_id, row.kind): row for row in connection.execute(select(account_decisions))}


def _is_settled(candidate: Candidate, settled: dict[tuple[str, str], Any], now: datetime) -> bool:
    said = settled.get((candidate.account_id, candidate.kind))
    if said is None:
        return False
    if said.decision == "ignored":
        return bool(said.at + IGNORED_FOR > now)
    return candidate.last_seen is None or bool(candidate.last_seen <= said.at)
