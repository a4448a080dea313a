"""Every key of `codex-usage.toml`, with its type, its bounds and its default.

Field descriptions are the reference: `docs/configuration.md` is checked against them.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from settings.access import LIST, Callers
from settings.callers import Guard
from settings.console import Console
from settings.gateways import Collector
from settings.kinds import (
    BasePath,
    BaseUrl,
    Budget,
    Digest,
    File,
    Header,
    Key,
    KeyName,
    Name,
    Section,
    Weight,
)
from settings.notify import Notify
from settings.pricing import Pricing
from settings.rules import Rules
from settings.storage import Storage
from settings.urls import Address
from settings.urls import is_loopback as is_loopback
from settings.urls import split_address as split_address


def _header_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", text):
        raise ValueError("allowed: the name of an HTTP header, like X-Project")
    return text


HeaderName = Annotated[str, AfterValidator(_header_name)]


class Metering(Section):
    """`[metering]`."""

    project_headers: Annotated[tuple[HeaderName, ...], LIST] = Field(
        ("X-Project", "OpenAI-Project"),
        description="headers that name a request's project; the first one that is there counts",
    )
    trace_headers: Annotated[tuple[HeaderName, ...], LIST] = Field(
        ("traceparent",), description="headers that name a request's trace; of traceparent, its trace id"
    )


class Server(Section):
    listen_addr: Address = Field("127.0.0.1:8787", description="where the proxy listens")
    upstream_base_url: BaseUrl = Field(
        "https://api.openai.com", description="the provider, with or without a trailing /v1"
    )
    upstream_exact_path: bool = Field(
        False,
        description="take every upstream_base_url as it is; else /v1 is put behind one without a version "
        "in its path",
    )
    public_base_path: BasePath = Field("/v1", description="the path below which requests are forwarded")
    backend_base_url: BaseUrl = Field(
        "https://chatgpt.com", description="where requests below /backend-api go (Codex with a ChatGPT login)"
    )
    request_log_path: File | None = Field(
        None,
        description="opt-in: a file for request and response bodies; a debugging aid, never in production",
    )

    connect_timeout_seconds: float = Field(
        10.0, gt=0, le=300, description="how long connecting to the upstream may take"
    )
    idle_timeout_seconds: float = Field(
        900.0, gt=0, le=86_400, description="how long the upstream may keep silent before the request fails"
    )
    include_usage: bool = Field(
        False,
        description="ask for the counts of streamed chat completions that did not ask for them, "
        "and keep the added event from the client",
    )
    max_request_bytes: int = Field(
        512 * 1024 * 1024, ge=1024, description="larger request bodies are refused with 413"
    )
    max_concurrent_requests: int = Field(
        4_096, ge=1, le=1_000_000, description="requests in flight in one process; more are refused with 503"
    )
    body_timeout_seconds: float = Field(
        30.0,
        gt=0,
        le=3_600,
        description="how long a request's body may keep the proxy waiting, beside what its bytes take at "
        "`min_body_bytes_per_second`; then it is refused with 408",
    )
    min_body_bytes_per_second: int = Field(
        1_024, ge=1, le=1_000_000, description="the rate at which a request's body must arrive, on average"
    )
    workers: int = Field(1, ge=1, le=256, description="processes that share the address")
    shutdown_timeout_seconds: float = Field(
        30.0, ge=0, le=3_600, description="how long running requests may go on after SIGTERM or Ctrl-C"
    )


class Exporter(Section):
    listen_addr: Address = Field("127.0.0.1:8789", description="where the exporter listens")
    store: str | None = Field(
        None,
        description="read the store of a codex-lb instead of the ledger: codex-lb:PATH, "
        "codex-lb:PATH,accounts=PATH or codex-lb:postgresql://USER@HOST/NAME",
    )


class Capacity(Section):
    primary_credits: float = Field(ge=0, le=1e12, description="credits of the plan's five-hour window")
    secondary_credits: float = Field(ge=0, le=1e12, description="credits of the plan's seven-day window")


class Quota(Section):
    start_grace_minutes: float = Field(
        60.0, ge=0, le=10_080, description="how late after a reset the first reading of the meter may be"
    )
    start_percent: float = Field(
        5.0, ge=0, le=100, description="percent from which a late first reading needs a request to explain it"
    )
    jump_percent: float = Field(
        5.0, gt=0, le=100, description="percentage points of a rise that needs a request to explain it"
    )
    jump_gap_minutes: float = Field(
        180.0, gt=0, le=10_080, description="how far apart the readings of such a rise are at least"
    )
    method: Literal["whole_cycle", "clean_steps"] = Field(
        "whole_cycle", description="how the quota is estimated; see docs/quota.md"
    )
    capacity: dict[str, Capacity] = Field(
        default_factory=dict, description="credits by plan; they override the known ones"
    )


class AccountTable(Section):
    """`[accounts.ID]`: what is wrong with one is said by the ledger, which knows plans and references."""

    credential: str = Field(
        description="where its key is kept: env:NAME, file:PATH or codex:PATH; never the key itself"
    )
    email: str = Field("", description="whose account it is, for dashboards")
    plan: str = Field("api", description="its plan; api is a key that is billed by use")
    upstream_base_url: BaseUrl | None = Field(
        None, description="its own provider; without it that of the proxy"
    )
    pool: Literal["pinned", "full"] = Field("full", description="pinned accounts are used before the others")


class TierWeights(Section):
    pro: Weight = Field(1.0, description="share of an account of the plans pro and enterprise")
    plus: Weight = Field(0.72, description="share of every other account")
    free: Weight = Field(0.512, description="share of a free account")


class Routing(Section):
    tier_weights: TierWeights = TierWeights()
    sticky: Literal["memory", "db", "none"] = Field(
        "memory", description="where it is kept which account a conversation stays with"
    )
    sticky_hours: float = Field(
        24.0, gt=0, le=720, description="how long a conversation stays with its account unused"
    )
    snapshot_refresh_seconds: float = Field(
        10.0, ge=0.1, le=300, description="how often accounts and quota are read at least"
    )
    quota_cooldown_seconds: float = Field(
        3_600.0, gt=0, le=604_800, description="how long a spent quota rests where its reset is not known"
    )
    max_attempts: int = Field(
        3, ge=1, le=3, description="accounts that one request may be sent to, one after the other"
    )
    poll_seconds: float = Field(
        300.0, ge=0, le=86_400, description="how often the quota of Codex logins is asked for; 0: never"
    )
    token_url: BaseUrl = Field(
        "https://auth.openai.com/oauth/token", description="where the tokens of Codex logins are refreshed"
    )
    require_proxy_key: bool = Field(
        False, description="refuse callers that do not present one of the proxy keys"
    )
    budget_without_ledger: Literal["refuse", "allow"] = Field(
        "refuse", description="what happens to requests under a budget while the ledger does not answer"
    )
    budget_unpriced_models: Literal["refuse", "allow"] = Field(
        "refuse", description="what happens to requests under a budget for models without a known price"
    )
    forward_headers: Annotated[tuple[Header, ...], LIST] = Field(
        (), description="names of headers that go on to an account's provider, besides those that are known"
    )
    forward_parameters: Annotated[tuple[Name, ...], LIST] = Field(
        (), description="the same of parameters behind the ? of an address"
    )


class ProxyKey(Section):
    """`[proxy_keys.NAME]`: a key that callers present to this proxy."""

    sha256: Digest = Field(description="the key's SHA-256; the key itself is kept nowhere")
    daily_usd: Budget | None = Field(None, description="most US dollars a day, from midnight UTC")
    weekly_usd: Budget | None = Field(None, description="most US dollars a week, from Monday midnight UTC")


class Metrics(Section):
    account_identity_mode: Literal["email", "account_id"] = Field(
        "email", description="what the label display shows; account_id keeps personal data out"
    )
    token: SecretStr | None = Field(
        None, min_length=8, description="bearer token that /metrics asks for; without it /metrics is open"
    )
    public: bool = Field(False, description="allow /metrics without a token on an address beyond loopback")
    max_models: int = Field(100, ge=1, le=10_000, description="model label values before `other`")
    max_api_keys: int = Field(200, ge=1, le=10_000, description="api_key label values before `other`")
    max_error_codes: int = Field(50, ge=1, le=10_000, description="error_code label values before `other`")


class Settings(Section):
    """The whole file."""

    server: Server = Server()
    storage: Storage = Storage()
    exporter: Exporter = Exporter()
    console: Console = Console()
    collector: Collector = Collector()
    callers: Callers = Callers()
    pricing: Pricing = Pricing()
    metrics: Metrics = Metrics()
    metering: Metering = Metering()
    quota: Quota = Quota()
    rules: Rules = Rules()
    notify: Notify = Notify()
    routing: Routing = Routing()
    accounts: dict[str, AccountTable] = Field(
        default_factory=dict, description="accounts that requests are routed to, by id"
    )
    proxy_keys: dict[KeyName, ProxyKey] = Field(
        default_factory=dict, description="keys that callers present to this proxy, by name"
    )
    openai_api_key: Key | None = Field(
        None,
        description="from OPENAI_API_KEY alone: goes upstream for local callers without a credential",
    )

    @model_validator(mode="after")
    def _open_metrics_are_a_decision(self) -> Settings:
        for name in ("server", "exporter", "collector"):
            address = getattr(self, name).listen_addr
            if not (is_loopback(address) or self.metrics.token or self.metrics.public):
                raise ValueError(
                    f"{name}.listen_addr = {address!r} is reachable from outside; "
                    "set metrics.token, or metrics.public = true to leave /metrics open"
                )
        return self

    @model_validator(mode="after")
    def _the_page_is_not_for_everybody(self) -> Settings:
        console = self.console
        if not (is_loopback(console.listen_addr) or console.asks_for_login or console.public):
            raise ValueError(
                f"console.listen_addr = {console.listen_addr!r} is reachable from outside; set "
                "console.operate_password_hash or console.user_header, or console.public = true"
            )
        return self

    @model_validator(mode="after")
    def _accounts_are_not_for_everybody(self) -> Settings:
        address = self.server.listen_addr
        if self.routing.require_proxy_key and not self.proxy_keys:
            raise ValueError(
                "routing.require_proxy_key = True, but there is no [proxy_keys.NAME]: nobody could come in"
            )
        if self.accounts and not (is_loopback(address) or self.routing.require_proxy_key):
            raise ValueError(
                f"server.listen_addr = {address!r} is reachable from outside, and every caller would use "
                "the accounts; set routing.require_proxy_key = true, with [proxy_keys.NAME]"
            )
        return self

    @model_validator(mode="after")
    def _a_proxy_key_has_one_name(self) -> Settings:
        names: dict[str, str] = {}
        for name, key in self.proxy_keys.items():
            if (known := names.setdefault(key.sha256, name)) != name:
                raise ValueError(
                    f"proxy_keys {known!r} and {name!r} have the same sha256; one key has one name"
                )
        return self

    @model_validator(mode="after")
    def _a_plan_has_its_credits_once(self) -> Settings:
        names: dict[str, str] = {}
        for name in self.quota.capacity:
            if (known := names.setdefault(name.casefold(), name)) != name:
                raise ValueError(f"quota.capacity {known!r} and {name!r} are one plan; give its credits once")
        return self


def guard(settings: Settings, listen_addr: str, *, pages: bool = False) -> Guard:
    """The rule by which the server at an address decides who may use it.

    Args:
        pages: the pages of `callers.origins` may; else only those that the server itself serves.
    """
    host, _ = split_address(listen_addr)
    return settings.callers.guard(host, exposed=not is_loopback(listen_addr), pages=pages)
