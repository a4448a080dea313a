"""Every key of `codex-usage.toml`, with its type, its bounds and its default.

Field descriptions are the reference: `docs/configuration.md` is checked against them.
"""

from __future__ import annotations

import ipaddress
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise ValueError("allowed: HOST:PORT with a port from 0 to 65535, like 127.0.0.1:8787 or [::1]:8787")
    return text


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("allowed: http://HOST or https://HOST, with a path if need be, without ? and #")
    if parts.username or parts.password:
        raise ValueError("allowed: a URL without user name and password")
    return text.rstrip("/")


def _base_path(text: str) -> str:
    if not text.startswith("/") or text == "/" or "?" in text or "#" in text:
        raise ValueError("allowed: a path that begins with / and names a folder, like /v1")
    return text.rstrip("/")


Address = Annotated[str, AfterValidator(_address)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
BasePath = Annotated[str, AfterValidator(_base_path)]
File = Annotated[Path, Field(strict=False)]  # TOML knows text alone
Rate = Annotated[Decimal, Field(ge=0, le=10_000, strict=False)]


class Section(BaseModel):
    """A table of the file: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Server(Section):
    listen_addr: Address = Field("127.0.0.1:8787", description="where the proxy listens")
    upstream_base_url: BaseUrl = Field(
        "https://api.openai.com", description="the provider, with or without a trailing /v1"
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
    workers: int = Field(1, ge=1, le=256, description="processes that share the address")
    shutdown_timeout_seconds: float = Field(
        30.0, ge=0, le=3_600, description="how long running requests may go on after SIGTERM or Ctrl-C"
    )


class Storage(Section):
    database_path: File = Field(Path("usage.db"), description="the SQLite file of the ledger")
    database_url: str | None = Field(
        None, description="instead of database_path: postgresql://USER@HOST/NAME or sqlite:///PATH"
    )
    flush_interval_seconds: float = Field(
        0.5, gt=0, le=60, description="how long a finished request may wait in memory before it is stored"
    )
    buffer_size: int = Field(
        50_000, ge=100, le=5_000_000, description="finished requests kept while the ledger cannot be written"
    )


class Exporter(Section):
    listen_addr: Address = Field("127.0.0.1:8789", description="where the exporter listens")


class Console(Section):
    listen_addr: Address = Field("127.0.0.1:8788", description="where the monitoring page listens")


class ModelPrice(Section):
    prompt_per_1m: Rate = Field(description="US dollars per million input tokens")
    cached_prompt_per_1m: Rate | None = Field(
        None, description="US dollars per million cached input tokens; without it the input rate"
    )
    completion_per_1m: Rate = Field(description="US dollars per million output tokens")


class Pricing(Section):
    currency: Literal["USD"] = Field("USD", description="the currency of all prices; only USD")
    models: dict[str, ModelPrice] = Field(
        default_factory=dict, description="prices by model name; they override the seeded ones"
    )


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
    pricing: Pricing = Pricing()
    metrics: Metrics = Metrics()
    openai_api_key: SecretStr | None = Field(
        None,
        description="from OPENAI_API_KEY alone: goes upstream for local callers without a credential",
    )

    @model_validator(mode="after")
    def _open_metrics_are_a_decision(self) -> Settings:
        for name, address in (("server", self.server.listen_addr), ("exporter", self.exporter.listen_addr)):
            if not (is_loopback(address) or self.metrics.token or self.metrics.public):
                raise ValueError(
                    f"{name}.listen_addr = {address!r} is reachable from outside; "
                    "set metrics.token, or metrics.public = true to leave /metrics open"
                )
        return self


def split_address(address: str) -> tuple[str, int]:
    """HOST:PORT as host and port; brackets of IPv6 are taken off."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether HOST:PORT can be reached from this machine alone."""
    host, _ = split_address(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
