"""One meter for each request: collects what is learned on the way and makes the one event at its end."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import perf_counter

import msgspec

from ledger.pricing.ceilings import plausible
from ledger.privacy import safe_code, safe_message
from ledger.values import DEFAULT_ACCOUNT, NO_USAGE, EndReason, RequestEvent, Status, UsageSample
from proxy.errors import Refused, UpstreamError
from proxy.http.caller_secrets import NO_SECRETS, Secrets
from proxy.http.routes import Route
from proxy.metering import quota
from proxy.metering.taps import NoTap, Tap, tap
from proxy.metering.usage import NOTHING, NOTHING_ASKED, Asked, Report

Emit = Callable[[RequestEvent], None]
Tell = Callable[[Sequence[UsageSample]], None]

_PROCESS = os.urandom(10).hex()
_numbers = itertools.count()


def new_id() -> str:
    """An id that no other request has, in this process or any other."""
    return f"{_PROCESS}{next(_numbers):012x}"


class Caller(msgspec.Struct, frozen=True):
    """Who asks and for what, as far as the headers say."""

    method: str
    route: Route
    api_key_id: str
    request_id: str
    session_id: str | None
    user_agent: str | None


class Meter:
    """Meters one exchange with the provider. `finish` works once; later calls change nothing, so that
    every way out of an exchange may call it.

    Attributes:
        error_code, report: how it went, and what the answer said; known once it is finished.
    """

    __slots__ = (
        "_caller",
        "_done",
        "_emit",
        "_first_token",
        "_http_status",
        "_secrets",
        "_start",
        "_tap",
        "_tell",
        "_trace",
        "account_id",
        "asked",
        "error_code",
        "report",
    )

    def __init__(
        self,
        caller: Caller,
        emit: Emit,
        start: float,
        tell: Tell,
        account_id: str = DEFAULT_ACCOUNT,
        secrets: Secrets = NO_SECRETS,
    ) -> None:
        """
        Args:
            emit: takes the event; must not block or raise.
            tell: takes what the provider said of the account's quota; must not block or raise.
            start: `perf_counter()` when the request's head had arrived.
            account_id: who takes the request.
            secrets: what the event may not hold.
        """
        self._secrets = secrets
        self._caller = caller
        self._emit = emit
        self._tell = tell
        self._start = start
        self._tap: Tap = NoTap()
        self._first_token: float | None = None
        self._http_status = 0
        self._trace: str | None = None
        self._done = False
        self.account_id = account_id
        self.error_code: str | None = None
        self.report: Report = NOTHING
        self.asked: Asked = NOTHING_ASKED

    def move(self, caller: Caller) -> None:
        """The caller is known better."""
        self._caller = caller

    def emit_to(self, emit: Emit) -> None:
        """The event goes to somebody else."""
        self._emit = emit

    def learn(self, asked: Asked) -> None:
        """What the request asks for, once its body is complete."""
        self.asked = asked

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """The provider's answer begins."""
        self._http_status = status
        self._trace = headers.get("x-request-id")
        if "x-codex-primary-used-percent" in headers or "x-codex-secondary-used-percent" in headers:
            self._tell(quota.from_headers(headers, self.account_id, datetime.now(UTC)))
        if self._caller.route.work != "reads" or status >= 400:
            self._tap = tap(
                self._caller.route.api,
                headers.get("Content-Type", ""),
                headers.get("Content-Encoding", ""),
            )

    def listen(self, status: int, tap: Tap) -> None:
        """The provider's answer begins, on a connection without heads of its own."""
        self._http_status = status
        self._tap = tap

    def feed(self, chunk: bytes) -> None:
        """Bytes of the answer, as they pass."""
        self._tap.feed(chunk)
        if self._first_token is None and self._tap.first_token_seen:
            self._first_token = perf_counter()

    def discard(self) -> None:
        """The exchange turned into something else, which is metered by itself."""
        self._done = True

    def refused(self, error: Refused) -> None:
        """The exchange is over: it was answered here."""
        self.finish("refused", http_status=error.status, error_code=error.code, error_message=str(error))

    def failed(self, error: UpstreamError) -> None:
        """The exchange is over: the provider gave no answer that could be passed on."""
        self.finish(
            error.end_reason, http_status=error.status, error_code=error.code, error_message=str(error)
        )

    def finish(
        self,
        reason: EndReason,
        *,
        http_status: int | None = None,
        error_code: str | None = None,
        error_message: str | None = None,
    ) -> None:
        """The exchange is over.

        Args:
            reason: `done` is corrected to `eof` where a stream ended without its closing event.
            http_status: what the client was answered, where that was not the provider's answer.
            error_code: of an error that happened here; the provider's own error comes from its answer.
        """
        if self._done:
            return
        self._done = True
        end = perf_counter()
        report = self.report = self._tap.end()
        for event in dict.fromkeys(self._tap.quota_events):
            self._tell(quota.from_event(event, self.account_id, datetime.now(UTC)))
        caller, asked = self._caller, self.asked
        model = report.model or asked.model
        usage = NO_USAGE if caller.route.work == "reads" else report.usage
        if not plausible(usage, model, caller.route.api):
            usage = NO_USAGE
        status = self._http_status if http_status is None else http_status
        code = error_code or report.error_code or (f"http_{status}" if status >= 400 else None)
        self.error_code = code
        if reason == "done" and self._tap.streams and not report.final:
            reason = "eof"
        message = error_message or report.error_message
        secrets = self._secrets() if message or report.error_code else ()
        hide = self._secrets.hide
        self._emit(
            RequestEvent(
                id=new_id(),
                account_id=self.account_id,
                api_key_id=caller.api_key_id,
                request_id=caller.request_id,
                upstream_request_id=hide(self._trace),
                requested_at=datetime.now(UTC),
                method=caller.method,
                route=caller.route.template,
                api=caller.route.api,
                model=hide(model),
                usage=usage,
                status=_status(reason, status, code),
                http_status=status,
                end_reason=reason,
                latency_ms=(end - self._start) * 1000,
                latency_first_token_ms=self._milliseconds(self._first_token),
                reasoning_effort=hide(report.reasoning_effort or asked.reasoning_effort),
                service_tier=hide(report.service_tier or asked.service_tier),
                error_code=safe_code(code, secrets) if reason != "client_gone" else None,
                error_message=safe_message(message, secrets),
                session_id=caller.session_id,
                user_agent=caller.user_agent,
                billable=caller.route.billable or usage is not NO_USAGE,
            )
        )

    def _milliseconds(self, moment: float | None) -> float | None:
        return None if moment is None else (moment - self._start) * 1000


def _status(reason: EndReason, http_status: int, error_code: str | None) -> Status:
    if reason == "client_gone":
        return "cancelled"
    if error_code or http_status >= 400 or reason in ("timeout", "upstream_error", "refused", "shutdown"):
        return "error"
    return "success"
