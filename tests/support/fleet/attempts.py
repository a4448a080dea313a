"""A provider's log read as a proxy's attempts: which account took a request, and how that went. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tests.support.fleet.accounts import FOR_GOOD
from tests.support.fleet.calls import Call
from tests.support.fleet.upstream import Entry

EXPIRED = "token_expired"
ENDED = "refresh_token_expired"
_CLASSES = {
    "rate_limit_exceeded": "rate_limit",
    "usage_limit_reached": "quota",
    "insufficient_quota": "quota",
    "server_error": "upstream",
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """One account's try at a request. Times are epoch seconds.

    Attributes:
        not_before: the account was not chosen earlier: the request had not begun, or the account before
            it had not answered.
        asked_at: when the provider had it.
        known_at: when whoever asked must have understood the answer: it had asked another account, or
            had answered its caller.
        away_until: until when the account is then to be left alone.
        code: of an error; of a login that could not be refreshed, why not.
    """

    call: Call
    account: str
    not_before: float
    asked_at: float
    known_at: float
    away_until: float
    code: str | None
    last: bool

    @property
    def error_class(self) -> str | None:
        """The class of its error, as the metrics name it."""
        return None if self.code is None else _CLASSES.get(self.code, "auth")


def attempts(entries: Iterable[Entry], calls: Iterable[Call]) -> list[Attempt]:
    """All attempts, in the order in which the provider was asked.

    Raises: KeyError for a request that nobody has made.
    """
    by_call = {call.request_id: call for call in calls}
    asked: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda e: e.asked_at):
        asked.setdefault(entry.request_id, []).append(entry)
    found = [a for name, mine in asked.items() for a in _of_call(by_call[name], mine)]
    return sorted(found, key=lambda a: a.asked_at)


def by_account(found: Iterable[Attempt]) -> Mapping[str, list[Attempt]]:
    """Attempts by account, each in their order."""
    return _sorted_out(found, lambda attempt: attempt.account)


def by_request(found: Iterable[Attempt]) -> Mapping[str, list[Attempt]]:
    """Attempts by the request's id, each in their order."""
    return _sorted_out(found, lambda attempt: attempt.call.request_id)


def _sorted_out(found: Iterable[Attempt], key: Callable[[Attempt], str]) -> dict[str, list[Attempt]]:
    sorted_out: dict[str, list[Attempt]] = {}
    for attempt in found:
        sorted_out.setdefault(key(attempt), []).append(attempt)
    return sorted_out


def _of_call(call: Call, entries: Sequence[Entry]) -> list[Attempt]:
    """One request's attempts. A login whose token was just too old is asked twice in one of them."""
    found: list[Attempt] = []
    since = call.began
    for i, entry in enumerate(entries):
        after = entries[i + 1] if i + 1 < len(entries) else None
        if entry.code == EXPIRED and after is not None and after.account == entry.account:
            continue
        ended = entry.code == EXPIRED
        found.append(
            Attempt(
                call=call,
                account=entry.account,
                not_before=since,
                asked_at=entry.asked_at,
                known_at=after.asked_at if after is not None else call.ended,
                away_until=FOR_GOOD if ended else entry.away_until,
                code=ENDED if ended else entry.code,
                last=after is None,
            )
        )
        since = entry.answered_at
    return found
