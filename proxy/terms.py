"""On what terms a WebSocket connection may have turns: its account can take them, its caller may spend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from proxy.attempts import Attempts
from proxy.dispatch import Dispatch
from proxy.errors import BudgetSpent, Refused
from proxy.routing.candidate import Host
from proxy.turns import Lost, Turned


@dataclass(frozen=True, slots=True)
class Leaving:
    """How a connection's turns come to another account when its own fails them.

    Attributes:
        against: what the connection ends with, where a turn is to be asked for again on another one; None
            where the client is told how it failed.
        settle: the connection ends with that, and another is made.
    """

    against: Callable[[Lost], Refused | None]
    settle: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one connection.

    Attributes:
        standing: what stands against a turn that begins now; None where nothing does.
        refused: hears of each turn that is refused.
        turned: hears how each turn went; None where no account was chosen for them.
        leaving: None where no other account can be.
    """

    standing: Callable[[], Refused | None]
    refused: Callable[[Refused], None]
    turned: Turned | None = None
    leaving: Leaving | None = None


def terms(dispatch: Dispatch | None, host: Host, attempts: Attempts) -> Terms | None:
    """The terms of the connection that an attempt led to; None where there is neither account nor key."""
    account, key = attempts.meter.account_id if attempts.routed else None, attempts.key
    if dispatch is None or (account is None and key is None):
        return None
    standing = partial(dispatch.standing, account, host, key)
    refused = dispatch.admission.refused
    if account is None:
        return Terms(standing, refused)
    move = partial(dispatch.moves.move, account, host, attempts)
    settle = partial(dispatch.moves.settle, account, host, attempts)
    leaving = Leaving(partial(_against, standing, move), settle)
    return Terms(standing, refused, partial(dispatch.turned, account), leaving)


def _against(
    standing: Callable[[], Refused | None], move: Callable[[Lost], bool], lost: Lost
) -> Refused | None:
    """What keeps the account from turns now that it failed one, where others are there for it."""
    against = standing()
    if against is None or isinstance(against, BudgetSpent) or not move(lost):
        return None
    return Refused(against.status, against.code, f"{against}; another one is free, connect again")
