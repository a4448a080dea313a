"""A request on its way to one of several accounts: which account takes it, and which takes it next when
that one fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import time

from proxy.accounts.credential_cache import Vault
from proxy.errors import Refused
from proxy.http.upstream import Upstream
from proxy.metering.meter import Meter
from proxy.relay.access import Key
from proxy.relay.admission import Admission
from proxy.relay.exchange import Answered, Exchanges, Outcome, Question, Unanswered
from proxy.routing.attempts import Attempts
from proxy.routing.candidate import Host, Standing
from proxy.routing.counters import Counting
from proxy.routing.failure import Failure, Verdict, told_failure
from proxy.routing.router import Router, retry_after
from proxy.routing.selection import Selection
from proxy.websocket.failover import Moves


class Dispatch:
    """Sends requests with the accounts of a router.

    Args:
        upstream_of: the provider of an account, or the default one, for a target's.
        most: accounts that one request may be sent to.
    """

    def __init__(
        self,
        router: Router,
        vault: Vault,
        admission: Admission,
        counting: Counting,
        upstream_of: Callable[[Upstream, str | None], Upstream],
        most: int,
    ) -> None:
        self.admission = admission
        self.moves = Moves(router, counting, most)
        self._router = router
        self._exchanges = Exchanges(router, vault, upstream_of)
        self._counting = counting
        self._most = most

    def active(self, host: Host) -> bool:
        """Whether there are accounts for a host: without any the proxy passes callers' own credentials on."""
        return self._router.serves(host)

    async def send(self, default: Upstream, host: Host, question: Question, attempts: Attempts) -> Answered:
        """Send a request with one account after another until one takes it; the last outcome, whose
        answer, good or bad, is the client's.

        Raises: Refused where no account can take it; UpstreamError of the last attempt; what a passing
            body raises.
        """
        conversation, model = attempts.conversation, attempts.asked.model
        tried: set[str] = set()
        last: Outcome | None = None
        try:
            while True:
                selection = await self._router.choose(conversation, tried, host, model)
                if selection.account is None:
                    return _settled(last, selection)
                if last is not None:
                    self._leave(last, attempts)
                member = self._router.members[selection.account]
                base = member.account.upstream_base_url
                meter = attempts.on(selection.account, again=last is not None, base_url=base)
                last = await self._exchanges.attempt(default, member, question, model)
                attempts.secrets.lend(*last.lent)
                if isinstance(last, Answered):
                    meter.answered(last.answer.status, last.answer.headers)
                    meter.feed(last.begun)
                tried.add(selection.account)
                if last.verdict is None or not question.repeatable or len(tried) >= self._most:
                    return _settled(last, selection)
        except BaseException:  # the caller may leave at any time
            if last is not None:
                last.close()
            raise

    def ended(self, outcome: Answered, meter: Meter) -> None:
        """The answer has been passed on: an account that answered well is well, and a stream may have
        failed after it began."""
        if outcome.verdict is not None or outcome.answer.status >= 400:
            return
        if meter.error_code is None:
            self._router.succeeded(outcome.account_id, outcome.began, meter.asked.model)
        else:
            failure = told_failure(meter.error_code, meter.report, time(), meter.asked.model)
            self._router.failed(outcome.account_id, failure, outcome.began)

    def standing(self, account_id: str | None, host: Host, key: Key | None) -> Refused | None:
        """What stands against one more turn on a connection that an account has taken, or that has none:
        the budget of the caller's key, or the account; None where nothing does."""
        refusal = self.admission.budgets.standing(key) if key is not None and key.periods else None
        if refusal is not None or account_id is None:
            return refusal
        snapshot = self._router.snapshot(host)
        against = snapshot.standings.get(account_id, Standing("unknown"))
        if against is None or (against.soft and not snapshot.pools["full"].ids):
            return None
        status = 503 if against.until is None else 429
        reason = against.reason.replace("_", " ")
        return Refused(
            status, f"no_account_{against.reason}", f"this account is not available now ({reason})"
        )

    def turned(self, account_id: str, began: float, failure: Failure | None) -> Verdict | None:
        """A turn on a connection that an account has taken is over. A login whose token was refused in the
        midst of it is not marked: the next connection is made with a new one.

        Args:
            began: epoch seconds.
            failure: None where it went well.
        Returns: what the failure says of the account; None where it says nothing.
        """
        if failure is None:
            self._router.succeeded(account_id, began)
            return None
        login = self._exchanges.can_refresh(account_id)
        return self._router.failed(account_id, replace(failure, can_refresh=login), began)

    def _leave(self, last: Outcome, attempts: Attempts) -> None:
        """An attempt is over, and another follows."""
        self._counting.retried(last.account_id, attempts.caller.route.api, last.error_class)
        last.close()
        if isinstance(last, Unanswered):
            attempts.meter.failed(last.error)
        else:
            attempts.meter.finish("done")


def _settled(last: Outcome | None, selection: Selection) -> Answered:
    """What the client gets in the end. Raises: Refused, UpstreamError."""
    if last is None:
        wait = retry_after(selection, time())
        raise Refused(
            429 if wait is not None else 503,
            f"no_account_{selection.outcome}",
            f"no account is available for this request ({selection.outcome.replace('_', ' ')})",
            retry_after=wait,
        )
    if isinstance(last, Unanswered):
        raise last.error
    return last
