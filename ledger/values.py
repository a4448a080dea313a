"""The frozen values that flow between the rooms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Status = Literal["success", "error", "cancelled"]
EndReason = Literal["done", "eof", "timeout", "client_gone", "upstream_error", "refused", "shutdown"]
"""How an exchange ended: `done`, the answer is complete by its own protocol; `eof`, the stream ended
without saying so; `refused`, answered here without asking the provider; `shutdown`, cut by our own stop."""

UNKNOWN_MODEL = "unknown"
"""What the ledger stores where neither request nor response named a model."""

DEFAULT_ACCOUNT = "default"
"""The account that a proxy without configured accounts books its traffic on."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one request, as the provider reported them.

    `cached_input_tokens` is a part of `input_tokens`, `reasoning_tokens` a part of `output_tokens`.
    None means that the provider did not say.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None

    @property
    def billed_output(self) -> int | None:
        """Output tokens; reasoning stands in only where output was not reported."""
        return self.reasoning_tokens if self.output_tokens is None else self.output_tokens

    @property
    def billed_cached(self) -> int:
        """Cached input tokens, clamped to the input that contains them."""
        return max(0, min(self.cached_input_tokens or 0, self.input_tokens or 0))


NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """One metered request, complete: what the ledger, the metrics and the log line each consume.

    Attributes:
        requested_at: when the request ended, aware UTC (the store's convention).
        api: `responses`, `chat_completions`, ... as in the metric contract.
        route: route template of the path, never the raw path.
        model: the served model, else the requested one, else None.
        api_key_id: the caller's key, masked; never the key.
        request_id: the client's request; several attempts at one request share it.
        latency_ms, latency_first_token_ms: milliseconds since the request's first byte arrived here.
        http_status: what the client was answered; 0 where it left before an answer began.
        error_code: the provider's code, or ours for errors made here; None on success.
        error_message: sanitised, at most a few hundred characters.
    """

    id: str
    account_id: str
    api_key_id: str
    request_id: str
    requested_at: datetime
    method: str
    route: str
    api: str
    model: str | None
    usage: Usage
    status: Status
    http_status: int
    end_reason: EndReason
    latency_ms: float
    latency_first_token_ms: float | None = None
    reasoning_effort: str | None = None
    service_tier: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    session_id: str | None = None
    upstream_request_id: str | None = None
    user_agent: str | None = None
    billable: bool = True
    """False where nothing is generated (a list, or a stored response read again): never unpriced."""


@dataclass(frozen=True, slots=True)
class UsageSample:
    """What the provider said of one quota window of an account at one moment.

    Attributes:
        recorded_at: aware UTC.
        window: "primary" or "secondary", as the provider names it; a name, not a duration.
        used_percent: 0 to 100.
        reset_at: epoch seconds.
    """

    account_id: str
    recorded_at: datetime
    window: str
    used_percent: float
    reset_at: int | None = None
    window_minutes: int | None = None
    credits_has: bool | None = None
    credits_unlimited: bool | None = None
    credits_balance: float | None = None
