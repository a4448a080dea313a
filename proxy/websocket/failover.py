"""Conversations on a WebSocket that go on with another account, once theirs has failed a turn.

Nobody but the client can ask for a turn again, on a new connection. So what a request brings along over HTTP,
the accounts that it was sent to already, is remembered here between the connections of a conversation.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from math import inf
from time import time

from ledger.requests.error_codes import error_class
from proxy.routing.attempts import Attempts
from proxy.routing.candidate import Host
from proxy.routing.counters import Counting
from proxy.routing.router import Router
from proxy.websocket.turns import Lost

REMEMBERED_SECONDS = 60.0
"""How long after the last move another one counts as one more try at the same turn. A client that has not
connected again by then does not run in circles."""

MAX_CONVERSATIONS = 10_000

_NONE: Mapping[str, float] = {}


class Moves:
    """Decides which turns move, and keeps what one process knows of it.

    Args:
        most: accounts that one turn may be sent to.
        clock: epoch seconds.
    """

    def __init__(
        self, router: Router, counting: Counting, most: int, clock: Callable[[], float] = time
    ) -> None:
        self._router = router
        self._counting = counting
        self._most = most
        self._clock = clock
        self._left: OrderedDict[str, Mapping[str, float]] = OrderedDict()  # accounts, and when

    def move(self, account_id: str, host: Host, attempts: Attempts, lost: Lost) -> bool:
        """Whether a turn that its account failed goes to another one now; it is counted as a retry then.

        Not where no other account is eligible, and not again and again: each account gets a turn once,
        and `most` of them do. Turns that failed together go together.
        """
        name, now = _name(attempts), self._clock()
        left = self._recently_left(name)
        tried = {account_id, *left}
        if lost.verdict.refresh or all(one in tried for one in self._router.snapshot(host).pools["full"].ids):
            return False
        if lost.began >= left.get(account_id, inf) or len(tried) >= self._most:
            self._left.pop(name, None)  # the client hears of it: what it asks for next begins again
            return False
        self._keep(name, {account_id: now, **left})
        kind = error_class(lost.verdict.code, lost.failure.http_status)
        self._counting.retried(account_id, attempts.caller.route.api, kind)
        return True

    async def settle(self, account_id: str, host: Host, attempts: Attempts) -> None:
        """Let a conversation's next connection go to an account that it has not left, even where others are
        back by then."""
        conversation = attempts.conversation
        if conversation is not None:
            await self._router.choose(conversation, {account_id, *self._recently_left(conversation)}, host)

    def _recently_left(self, name: str) -> Mapping[str, float]:
        left = self._left.get(name, _NONE)
        return left if max(left.values(), default=0.0) > self._clock() - REMEMBERED_SECONDS else _NONE

    def _keep(self, name: str, left: Mapping[str, float]) -> None:
        self._left[name] = left
        self._left.move_to_end(name)
        if len(self._left) > MAX_CONVERSATIONS:
            self._left.popitem(last=False)


def _name(attempts: Attempts) -> str:
    """The conversation; callers that tell of none are known by their key."""
    return attempts.conversation or attempts.caller.api_key_id
