"""One meter for each request: collects what is learned on the way and makes the one event at its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import perf_counter

from msgspec.structs import replace

from ledger.values import DEFAULT_ACCOUNT, EndReason, RequestEvent, UsageSample
from proxy.errors import Refused, UpstreamError
from proxy.http.caller_secrets import NO_SECRETS, Secrets
from proxy.http.decode import decoder
from proxy.metering import quota, shapes
from proxy.metering.asked import NOTHING_ASKED, Asked
from proxy.metering.batch import BatchAnswer, BatchTap
from proxy.metering.event import Caller, End, batch_event, drawing_event, request_event
from proxy.metering.statement import Statement
from proxy.metering.taps import FailureTap, NoTap, Tap, tap
from proxy.metering.usage import NOTHING, Report
from serving.connection import RateLimitedLog

PACKED = 8
"""How many bytes of a stream a packed one stands for, about."""

_NO_TAP = NoTap()
_faults = RateLimitedLog()

Emit = Callable[[RequestEvent], None]
Tell = Callable[[Sequence[UsageSample]], None]


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
        "_headed",
        "_http_status",
        "_kept",
        "_packed",
        "_passed",
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
        self._tap: Tap = _NO_TAP
        self._kept: FailureTap | None = None
        self._first_token: float | None = None
        self._packed = False
        self._passed = 0
        self._http_status = 0
        self._headed: Statement | None = None
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
        self._trace = headers.get("x-request-id") or headers.get("request-id")
        self._packed = "Content-Encoding" in headers
        if "x-codex-primary-used-percent" in headers or "x-codex-secondary-used-percent" in headers:
            self._tell(quota.from_headers(headers, self.account_id, datetime.now(UTC)))
        if shapes.IN_HEAD in headers:
            self._headed = shapes.from_head(headers)
        route = self._caller.route
        if status >= 400 or route.reports:
            self._tap = tap(route.api, headers.get("Content-Type", ""), headers.get("Content-Encoding", ""))
            if self._caller.keeps_failures and (keeps := _failure_tap(self._tap, status, headers)):
                self._tap = self._kept = keeps
        elif (route.batch_output or route.batch) and (decode := decoder(headers.get("Content-Encoding", ""))):
            self._tap = BatchTap(decode, self._batched, whole=route.batch)

    def listen(self, status: int, tap: Tap) -> None:
        """The provider's answer begins, on a connection without heads of its own."""
        self._http_status = status
        self._tap = tap
        if self._caller.keeps_failures:
            self._tap = self._kept = FailureTap(tap)

    def feed(self, chunk: bytes) -> None:
        """Bytes of the answer, as they pass."""
        try:
            self._tap.feed(chunk)
        except Exception as error:  # the answer goes on
            self._unread(error)
            self._tap = _NO_TAP
        self._passed += len(chunk)
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
            reason: `done` is corrected to `eof` where a stream ended without its closing event, and
                `client_gone` to `done` where the client left with that event: many hang up on it.
            http_status: what the client was answered, where that was not the provider's answer.
            error_code: of an error that happened here; the provider's own error comes from its answer.
        """
        if self._done:
            return
        self._done = True
        latency_ms = (perf_counter() - self._start) * 1000
        status = self._http_status if http_status is None else http_status
        try:
            events = self._events(reason, status, error_code, error_message, latency_ms)
        except Exception as error:  # that it was served, and may have cost, is known all the same
            self._unread(error)
            end = End(reason, status, None, None, latency_ms, None, None, False, passed=self._passed)
            events = [request_event(self._caller, self.account_id, NOTHING_ASKED, NOTHING, end, NO_SECRETS)]
        for event in events:
            self._emit(event)

    def _events(
        self,
        reason: EndReason,
        status: int,
        error_code: str | None,
        error_message: str | None,
        latency_ms: float,
    ) -> list[RequestEvent]:
        report = self._tap.end()
        if self._headed is not None and not report.metered:
            report = replace(report, said=self._headed)
        self.report = report
        for told in dict.fromkeys(self._tap.quota_events):
            self._tell(quota.from_event(told, self.account_id, datetime.now(UTC)))
        code = error_code or report.error_code or (f"http_{status}" if status >= 400 else None)
        self.error_code = code
        if self._tap.streams and reason == ("client_gone" if report.final else "done"):
            reason = "done" if report.final else "eof"
        ended = End(
            reason=reason,
            http_status=status,
            error_code=code,
            error_message=error_message or report.error_message,
            latency_ms=latency_ms,
            latency_first_token_ms=self._milliseconds(self._first_token),
            upstream_request_id=self._trace,
            streamed=self._tap.streams,
            body=self._kept.body() if self._kept else b"",
            passed=self._passed * (PACKED if self._packed else 1),
        )
        event = request_event(self._caller, self.account_id, self.asked, report, ended, self._secrets)
        if report.drawn is not None and (self._caller.route.work != "reads" or report.background):
            return [drawing_event(self._caller, self.account_id, report, self._secrets), event]
        return [event]

    def _unread(self, error: Exception) -> None:
        """A fault of ours in reading an answer is told without anything of the answer."""
        _faults.fault("an answer could not be read", error)

    def _batched(self, answer: BatchAnswer) -> None:
        """An answer in the output of a batch."""
        self._emit(batch_event(self._caller, self.account_id, answer, self._secrets))

    def _milliseconds(self, moment: float | None) -> float | None:
        return None if moment is None else (moment - self._start) * 1000


def _failure_tap(tap: Tap, status: int, headers: Mapping[str, str]) -> FailureTap | None:
    if status < 400:
        return FailureTap(tap)
    decode = decoder(headers.get("Content-Encoding", ""))
    return FailureTap(tap, decode) if decode else None
