"""A request on its way to one of several accounts: who may come in, which account takes it, and which
takes it next when that one fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time

import msgspec
from aiohttp import ClientResponse

from ledger.fleet import Member
from proxy.attempts import Attempts
from proxy.classify import ErrorClass, error_class
from proxy.decode import Undecodable, decoder
from proxy.errors import CredentialError, RefreshRefused, Refused, TokenUnavailable, UpstreamError
from proxy.routing import budget
from proxy.routing.counting import Counting
from proxy.routing.credentials import Credential
from proxy.routing.keys import Key, KeyRing
from proxy.routing.marks import Failure, Verdict, read_failure
from proxy.routing.router import Router, retry_after
from proxy.routing.select import Selection
from proxy.routing.sticky import sticky_key
from proxy.routing.vault import Vault
from proxy.routing.watch import Watch
from proxy.upstream import Upstream
from proxy.wire import Body

MOST_ERROR = 256 * 1024
"""Bytes of an error answer that are read before it is decided who takes the request next."""


class Question(msgspec.Struct, frozen=True):
    """A request, ready to be sent as often as need be; `lines` say nothing of who the caller is."""

    method: str
    path: str
    lines: Sequence[bytes]
    body: Body
    length: int | None


@dataclass(slots=True)
class Outcome:
    """How one attempt went.

    Attributes:
        answer: the provider's; its body is still to be read, but for `begun`.
        begun: the first bytes of an error answer's body.
        error: where there was no answer.
        verdict: what a failure says of the account; None for a success, and where the request is at fault.
        began: epoch seconds.
    """

    account_id: str
    began: float
    answer: ClientResponse | None = None
    begun: bytes = b""
    error: UpstreamError | None = None
    verdict: Verdict | None = None

    @property
    def error_class(self) -> ErrorClass:
        code = self.verdict.code if self.verdict else None
        return error_class(code, self.answer.status if self.answer is not None else 502)


class Dispatch:
    """Sends requests with the accounts of a router.

    Args:
        upstream_of: the provider of an account, or the default one, for a target's.
        most: accounts that one request may be sent to.
        exposed: the proxy can be reached from other hosts: accounts are then for known callers alone.
    """

    def __init__(
        self,
        router: Router,
        vault: Vault,
        watch: Watch,
        keys: KeyRing,
        counting: Counting,
        upstream_of: Callable[[Upstream, str | None], Upstream],
        most: int,
        *,
        exposed: bool,
    ) -> None:
        self._router = router
        self._vault = vault
        self._watch = watch
        self._keys = keys
        self._counting = counting
        self._upstream_of = upstream_of
        self._most = most
        self._exposed = exposed

    @property
    def active(self) -> bool:
        """Whether there are accounts: without any the proxy passes callers' own credentials on."""
        return bool(self._router.members)

    def admit(self, presented: str | None) -> Key | None:
        """The proxy key of a caller. Raises: Refused without one that is needed, or with a spent budget."""
        key = self._keys.find(presented)
        if key is None:
            if self._keys.required or (self._exposed and self.active):
                raise Refused(401, "invalid_proxy_key", "this proxy asks for one of its own keys")
            return None
        now = datetime.now(UTC)
        spent = budget.spent(key, self._watch.spend, now)
        if spent is not None:
            self._counting.budget_hit(key.name, spent.period)
            raise Refused(429, budget.CODE, spent.message, retry_after=spent.retry_after(now))
        return key

    async def send(self, default: Upstream, question: Question, attempts: Attempts) -> Outcome:
        """Send a request with one account after another until one takes it; the last outcome, whose
        answer, good or bad, is the client's.

        Raises: Refused where no account can take it; UpstreamError of the last attempt.
        """
        conversation = sticky_key(attempts.asked.prompt_cache_key, attempts.caller.session_id)
        tried: set[str] = set()
        last: Outcome | None = None
        while True:
            selection = await self._router.choose(conversation, tried)
            if selection.account is None:
                return _settled(last, selection)
            if last is not None:
                self._leave(last, attempts)
            meter = attempts.on(selection.account, again=last is not None)
            last = await self._attempt(default, self._router.members[selection.account], question)
            if last.answer is not None:
                meter.answered(last.answer.status, last.answer.headers)
                meter.feed(last.begun)
            tried.add(selection.account)
            repeatable = (question.body is None or isinstance(question.body, bytes)) and len(
                tried
            ) < self._most
            if last.verdict is None or not repeatable:
                return _settled(last, selection)

    def ended(self, outcome: Outcome, error_code: str | None, status: int) -> None:
        """The answer has been passed on: an account that answered well is well, and a stream may have
        failed after it began."""
        if outcome.verdict is not None or outcome.answer is None or outcome.answer.status >= 400:
            return
        if error_code is None:
            self._router.succeeded(outcome.account_id, outcome.began)
        else:
            self._router.failed(outcome.account_id, Failure(200, error_code), outcome.began)

    def _leave(self, last: Outcome, attempts: Attempts) -> None:
        """An attempt is over, and another follows."""
        self._counting.retried(last.account_id, attempts.caller.route.api, last.error_class)
        if last.answer is not None:
            attempts.meter.finish("done")
            last.answer.close()
        elif last.error is not None:
            error = last.error
            attempts.meter.finish(
                error.end_reason, http_status=error.status, error_code=error.code, error_message=str(error)
            )

    async def _attempt(self, default: Upstream, member: Member, question: Question) -> Outcome:
        began = time()
        outcome = Outcome(member.account.id, began)
        try:
            credential = self._vault.credential(member)
            outcome = await self._exchange(default, member, question, credential, outcome)
            if outcome.verdict is not None and outcome.verdict.refresh:
                if outcome.answer is not None:
                    outcome.answer.close()
                fresh = await self._vault.refreshed(member, credential)
                outcome = await self._exchange(
                    default, member, question, fresh, Outcome(member.account.id, began), last=True
                )
        except RefreshRefused as error:
            outcome = self._unusable(outcome, error, error.code)
        except TokenUnavailable as error:
            outcome = self._unusable(outcome, error, "token_unavailable")
        except CredentialError as error:
            outcome = self._unusable(outcome, error, "invalid_credential")
        return outcome

    def _unusable(self, outcome: Outcome, error: CredentialError, code: str) -> Outcome:
        """The account's credential cannot be used: nothing was, or could be, asked with it."""
        verdict = self._router.failed(outcome.account_id, Failure(0, code, str(error)), outcome.began)
        said = UpstreamError("the account that was chosen cannot be used now", code)
        return Outcome(outcome.account_id, outcome.began, error=said, verdict=verdict)

    async def _exchange(
        self,
        default: Upstream,
        member: Member,
        question: Question,
        credential: Credential,
        outcome: Outcome,
        *,
        last: bool = False,
    ) -> Outcome:
        """One exchange with the provider. `last`: the token is new, and refused it is refused for good."""
        lines = [*question.lines, *credential.lines]
        upstream = self._upstream_of(default, member.account.upstream_base_url)
        name = member.account.id
        try:
            outcome.answer = answer = await upstream.send(
                question.method, question.path, lines, question.body, question.length
            )
            if answer.status >= 400:
                outcome.begun = await _begin(upstream, answer)
        except UpstreamError as error:
            if outcome.answer is not None:
                outcome.answer.close()
            outcome.answer, outcome.error = None, error
            outcome.verdict = self._router.failed(name, Failure(0, error.code), outcome.began)
            return outcome
        if answer.status >= 400:
            failure = read_failure(
                answer.status,
                answer.headers,
                _plain(answer, outcome.begun),
                time(),
                can_refresh=credential.can_refresh and not last,
            )
            outcome.verdict = self._router.failed(name, failure, outcome.began)
        return outcome


def _settled(last: Outcome | None, selection: Selection) -> Outcome:
    """What the client gets in the end. Raises: Refused, UpstreamError."""
    if last is None:
        wait = retry_after(selection, time())
        raise Refused(
            429 if wait is not None else 503,
            f"no_account_{selection.outcome}",
            f"no account can take this request now ({selection.outcome.replace('_', ' ')})",
            retry_after=wait,
        )
    if last.error is not None:
        raise last.error
    return last


async def _begin(upstream: Upstream, answer: ClientResponse) -> bytes:
    chunks, size = [], 0
    while size < MOST_ERROR and (chunk := await upstream.read(answer)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _plain(answer: ClientResponse, body: bytes) -> bytes:
    decode = decoder(answer.headers.get("Content-Encoding", ""))
    try:
        return decode(body) if decode else b""
    except Undecodable:
        return b""
