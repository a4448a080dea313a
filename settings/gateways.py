"""`[collector]`: gateways whose usage queues are collected."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from settings.kinds import Section
from settings.urls import Address, base_url

GATEWAY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}", re.ASCII)
_VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def _name(text: str) -> str:
    if not GATEWAY_NAME.fullmatch(text):
        raise ValueError("allowed: letters, digits and . _ -, at most 60 of them")
    return text


def _url(text: str) -> str:
    parts = urlsplit(base_url(text))
    if parts.path.strip("/"):
        raise ValueError("allowed: http://HOST:PORT or https://HOST:PORT, without a path")
    return text.rstrip("/")


def _reference(text: str) -> str:
    kind, _, place = text.partition(":")
    if _VARIABLE.fullmatch(text) or (kind == "file" and place.strip() and place.isprintable()):
        return text
    raise ValueError("allowed: env:NAME (an environment variable) or file:PATH; never the key itself")


GatewayName = Annotated[str, AfterValidator(_name)]
GatewayUrl = Annotated[str, AfterValidator(_url)]
KeyReference = Annotated[str, AfterValidator(_reference)]
File = Annotated[Path, Field(strict=False)]  # TOML knows text alone


class Gateway(Section):
    """`[collector.gateways."NAME"]`: a CLIProxyAPI."""

    url: GatewayUrl = Field(description="where it listens, like http://127.0.0.1:8317")
    key: KeyReference = Field(
        description="where its management key is kept: env:NAME or file:PATH; never the key itself"
    )
    transport: Literal["auto", "subscribe", "resp", "http"] = Field(
        "auto", description="how its events are fetched; auto takes the best way that works"
    )
    ca_file: File | None = Field(
        None, description="certificates to trust for https, in PEM; without it those of the system"
    )


class Collector(Section):
    listen_addr: Address = Field("127.0.0.1:8790", description="where the collector answers Prometheus")
    inbox_path: File = Field(
        Path("inbox.db"), description="the SQLite file that received events are committed to first"
    )
    keep_raw_days: float = Field(
        7.0, ge=0, le=3_650, description="how long received items are kept after they were decoded"
    )
    batch_size: int = Field(500, ge=1, le=10_000, description="events that are asked for at once")
    poll_seconds: float = Field(
        1.0, ge=0.1, le=30, description="how often a queue is asked that is not subscribed to"
    )
    max_waiting: int = Field(
        20_000, ge=256, le=1_000_000, description="events kept in memory while the inbox cannot be written"
    )
    gateways: dict[GatewayName, Gateway] = Field(
        default_factory=dict, description="the gateways to collect from, by name"
    )
