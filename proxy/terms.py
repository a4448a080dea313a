"""On what terms a WebSocket connection may have turns: its account can take them, its caller may spend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from proxy.attempts import Attempts
from proxy.dispatch import Dispatch
from proxy.errors import Refused
from proxy.routing.candidate import Host
from proxy.turns import Turned


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one connection.

    Attributes:
        standing: what stands against a turn that begins now; None where nothing does.
        refused: hears of each turn that is refused.
        turned: hears how each turn went; None where no account was chosen for them.
    """

    standing: Callable[[], Refused | None]
    refused: Callable[[Refused], None]
    turned: Turned | None = None


def terms(dispatch: Dispatch | None, host: Host, attempts: Attempts) -> Terms | None:
    """The terms of the connection that an attempt led to; None where there is neither account nor key."""
    account, key = attempts.meter.account_id if attempts.routed else None, attempts.key
    if dispatch is None or (account is None and key is None):
        return None
    return Terms(
        partial(dispatch.standing, account, host, key),
        dispatch.admission.refused,
        None if account is None else partial(dispatch.turned, account),
    )
