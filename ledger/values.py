"""The frozen values that flow between the rooms: of a kind that is made, and written as bytes, in no time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

Status = Literal["success", "error", "cancelled"]
Source = Literal["proxy", "collector", "import"]
EndReason = Literal["done", "eof", "timeout", "client_gone", "upstream_error", "refused", "shutdown"]
"""How an exchange ended: `done`, the answer is complete by its own protocol; `eof`, the stream ended
without saying so; `refused`, answered here without asking the provider; `shutdown`, cut by our own stop."""

UNKNOWN_MODEL = "unknown"
"""What the ledger stores where neither request nor response named a model."""

DEFAULT_ACCOUNT = "default"
"""The account that a proxy without configured accounts books its traffic on."""


class Usage(msgspec.Struct, frozen=True, gc=False):
    """Token counts of one request, as the provider reported them.

    `input_tokens` is the total: `cached_input_tokens` (read from a cache), `cache_write_tokens` (for five
    minutes, or not told apart) and `cache_write_1h_tokens` are parts of it that do not overlap.
    `reasoning_tokens` is a part of `output_tokens`; audio and image tokens are parts of their side.
    None means that the provider did not say.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int | None = None
    reasoning_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    image_input_tokens: int | None = None
    image_output_tokens: int | None = None

    @property
    def billed_output(self) -> int | None:
        """Output tokens; reasoning stands in only where output was not reported."""
        return self.reasoning_tokens if self.output_tokens is None else self.output_tokens

    @property
    def billed_cached(self) -> int:
        """Cached input tokens, clamped to the input that contains them."""
        return max(0, min(self.cached_input_tokens or 0, self.input_tokens or 0))

    @property
    def billed_cache_write(self) -> int:
        """Tokens written to a cache for five minutes, clamped to the input that was not read from one."""
        return max(0, min(self.cache_write_tokens or 0, (self.input_tokens or 0) - self.billed_cached))

    @property
    def billed_cache_write_1h(self) -> int:
        """Tokens written to a cache for an hour, clamped to what is then left of the input."""
        left = (self.input_tokens or 0) - self.billed_cached - self.billed_cache_write
        return max(0, min(self.cache_write_1h_tokens or 0, left))


NO_USAGE = Usage()


class RequestEvent(msgspec.Struct, frozen=True, gc=False):
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
        instance_id: which proxy or collector saw it.
        gateway: name of the collected gateway.
        provider: openai, anthropic, google, xai ...
        requested_model, requested_service_tier: what the client asked for, beside what was served.
        login: a ChatGPT login; None where it is not known.
        project, trace_id: as the client names them; bounded. Only the project is a metric's label.
        response_id: the provider's id of the response; a background response is counted once by it.
        auth_index: the collected gateway's credential.
        error_class: what kind of failure it was, in the words of the metric contract.
        provider_cost_usd: what the provider itself says that it cost.
        extra_units: what is billed beside tokens: web_search, audio_seconds, characters, images ...
        background: the response was not waited for; whoever reads it first with its counts has it counted.
        batched: one answer of a batch's output, whose time is not known.
        implausible: some of the reported numbers make no sense, and are left out.
        unmetered: it passed without anybody learning what it used.
        passed_bytes: of an answer that nobody has counted; what was packed counts for more.
        failure_body: the beginning of what a provider answered to a request that failed, without keys; only
            where the configuration keeps it, and only for the ledger's table of its own.
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
    instance_id: str | None = None
    source: Source = "proxy"
    gateway: str | None = None
    provider: str | None = None
    requested_model: str | None = None
    requested_service_tier: str | None = None
    login: bool | None = None
    streamed: bool | None = None
    project: str | None = None
    trace_id: str | None = None
    response_id: str | None = None
    auth_index: str | None = None
    error_class: str | None = None
    provider_cost_usd: Decimal | None = None
    extra_units: Mapping[str, Decimal] | None = None
    background: bool = False
    batched: bool = False
    implausible: bool = False
    unmetered: bool = False
    failure_body: str | None = None
    passed_bytes: int = 0

    @property
    def billed_tier(self) -> str | None:
        return billed_tier(self.service_tier, self.requested_service_tier, self.login)

    def __repr__(self) -> str:
        said = ((name, getattr(self, name)) for name in self.__struct_fields__ if name != "failure_body")
        return f"RequestEvent({', '.join(f'{name}={value!r}' for name, value in said if value is not None)})"


def billed_tier(served: str | None, requested: str | None, login: bool | None) -> str | None:
    """The tier that decides the price: the served one, but with a ChatGPT login the requested one (there the
    answer always says `default`); the other one where the first was not said."""
    return (requested or served or None) if login else (served or requested or None)


class UsageSample(msgspec.Struct, frozen=True, gc=False):
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
