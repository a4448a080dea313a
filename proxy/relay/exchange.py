"""One attempt at a request with one account, and what the router is told of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import time

import msgspec

from ledger.accounts.pool import Member
from ledger.requests.error_codes import ErrorClass, error_class
from proxy.accounts.credential_cache import Vault
from proxy.accounts.credentials import Credential
from proxy.errors import (
    CredentialError,
    ProxyError,
    RefreshRefused,
    Refused,
    TokenUnavailable,
    UpstreamError,
)
from proxy.http.decode import Undecodable, decoder
from proxy.http.upstream import Upstream
from proxy.http.wire import Answer, Body
from proxy.routing.failure import Failure, Verdict, read_failure
from proxy.routing.router import Router

log = logging.getLogger("quotascope.exchange")

MAX_ERROR = 256 * 1024
"""Bytes of an error answer that are read before it is decided who takes the request next."""

ERROR_SECONDS = 1.0
"""How long they are waited for: status and headers say most."""


class Question(msgspec.Struct, frozen=True):
    """A request, ready to be sent as often as need be; `lines` say nothing of who the caller is."""

    method: str
    path: str
    lines: Sequence[bytes]
    body: Body
    length: int | None

    @property
    def repeatable(self) -> bool:
        """Whether it can be sent again; a body that passes as it comes is gone."""
        return self.body is None or isinstance(self.body, bytes)


class Attempt(msgspec.Struct, frozen=True):
    """An attempt that is over.

    Attributes:
        began: epoch seconds.
        verdict: what a failure says of the account; None for a success, and where the request is at fault.
        lent: what went along, which nothing that is stored may hold.
    """

    account_id: str
    began: float
    verdict: Verdict | None
    lent: tuple[str | None, ...]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.account_id!r}, {self.verdict!r})"


class Answered(Attempt, frozen=True):
    """The provider's answer has begun; its body is still to be read, but for `begun`: the first bytes of an
    error."""

    answer: Answer
    begun: bytes = b""

    @property
    def error_class(self) -> ErrorClass:
        return error_class(self.verdict.code if self.verdict else None, self.answer.status)

    def close(self) -> None:
        """Let go of the answer; its connection is not used again."""
        self.answer.close()


class Unanswered(Attempt, frozen=True):
    """There was no answer that could be passed on."""

    error: UpstreamError

    @property
    def error_class(self) -> ErrorClass:
        return error_class(self.verdict.code if self.verdict else None, 502)

    def close(self) -> None:
        """There is nothing to let go of."""


Outcome = Answered | Unanswered


class Exchanges:
    """Makes attempts.

    Args:
        upstream_of: the provider of an account, or the default one, for a target's.
    """

    def __init__(
        self, router: Router, vault: Vault, upstream_of: Callable[[Upstream, str | None], Upstream]
    ) -> None:
        self._router = router
        self._vault = vault
        self._upstream_of = upstream_of

    async def attempt(
        self, default: Upstream, member: Member, question: Question, model: str | None = None
    ) -> Outcome:
        """Send a request with an account; a login whose token is refused gets a new one first.

        Args:
            model: that is asked for, where it is known.

        Raises: what a passing body raises; Refused where it is gone and would have to be sent again.
        """
        name, began = member.account.id, time()
        try:
            credential = self._vault.credential(member)
            outcome = await self._send(default, member, question, credential, began, model)
            for last in (False, True):  # a token that another process got may be too old by now as well
                if outcome.verdict is None or not outcome.verdict.refresh:
                    break
                outcome.close()
                credential = await self._vault.refreshed(member, credential)
                if not question.repeatable:
                    raise _sent_once()
                outcome = await self._send(default, member, question, credential, began, model, last=last)
            return outcome
        except RefreshRefused as error:
            return self._failed(name, began, Failure(0, error.code, str(error)))
        except TokenUnavailable as error:
            return self._failed(name, began, Failure(0, "token_unavailable", str(error)))
        except CredentialError:  # it is this process that lacks it: no mark, others may have it
            return _unusable(name, began, Verdict("error", "invalid_credential"))
        except ProxyError:
            raise
        except Exception:  # whatever is wrong with this account, another one may take the request
            log.exception("an attempt with account %r failed unexpectedly", name)
            return self._failed(name, began, Failure(0, "internal_error"))

    def can_refresh(self, account_id: str) -> bool:
        """Whether an account is a login, whose token can be refreshed."""
        member = self._router.members.get(account_id)
        try:
            return member is not None and self._vault.credential(member).can_refresh
        except CredentialError:
            return False

    def _failed(self, name: str, began: float, failure: Failure) -> Outcome:
        """Nothing was, or could be, asked with the account."""
        return _unusable(name, began, self._router.failed(name, failure, began))

    async def _send(
        self,
        default: Upstream,
        member: Member,
        question: Question,
        credential: Credential,
        began: float,
        model: str | None,
        *,
        last: bool = False,
    ) -> Outcome:
        """One exchange with the provider. `last`: the token is new, and refused it is refused for good."""
        name, secrets = member.account.id, credential.secrets
        upstream = self._upstream_of(default, member.account.upstream_base_url)
        lines = [*question.lines, *credential.lines]
        answer: Answer | None = None
        try:
            answer = await upstream.send(
                question.method, question.path, lines, question.body, question.length
            )
            if answer.status < 400:
                return Answered(name, began, None, secrets, answer)
            begun = await _begin(upstream, answer)
            failure = _failure(answer, begun, credential.can_refresh and not last, model)
            return Answered(name, began, self._router.failed(name, failure, began), secrets, answer, begun)
        except UpstreamError as error:
            if answer is not None:
                answer.close()
            verdict = self._router.failed(name, Failure(0, error.code), began)
            return Unanswered(name, began, verdict, secrets, error)
        except BaseException:
            if answer is not None:
                answer.close()
            raise


def _unusable(name: str, began: float, verdict: Verdict | None) -> Unanswered:
    error = UpstreamError("the selected account cannot be used now", verdict.code if verdict else "")
    error.status = 503
    return Unanswered(name, began, verdict, (), error)


def _sent_once() -> Refused:
    text = (
        "the account's token was refreshed, and the body is too large to be retried; send the request again"
    )
    return Refused(503, "account_token_renewed", text, retry_after=1)


def _failure(answer: Answer, begun: bytes, can_refresh: bool, model: str | None) -> Failure:
    body = _plain(answer, begun)
    return read_failure(answer.status, answer.headers, body, time(), can_refresh=can_refresh, model=model)


async def _begin(upstream: Upstream, answer: Answer) -> bytes:
    """The beginning of an error answer's body; what does not come soon is not waited for."""
    chunks, size = [], 0
    try:
        async with asyncio.timeout(ERROR_SECONDS):
            while size < MAX_ERROR and (chunk := await upstream.read(answer)):
                chunks.append(chunk)
                size += len(chunk)
    except TimeoutError:
        pass
    return b"".join(chunks)


def _plain(answer: Answer, body: bytes) -> bytes:
    decode = decoder(answer.headers.get("Content-Encoding", ""))
    try:
        return decode(body) if decode else b""
    except Undecodable:
        return b""
