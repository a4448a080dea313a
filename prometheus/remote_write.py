"""Sending samples on to another store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prometheus.errors import ConfigError
from settings.urls import is_http


@dataclass(frozen=True, slots=True)
class RemoteWrite:
    """Where samples are sent on to, as they are stored.

    Attributes:
        url: the receiver's write address, like https://metrics.example/api/v1/write.
        token_file: holds the receiver's bearer token; a relative path begins at prometheus.yml's folder.
        recorded_only: send what rules record, and `up`; everything else stays here.
    Raises: ConfigError.
    """

    url: str
    token_file: Path | None = None
    recorded_only: bool = False

    def __post_init__(self) -> None:
        if not is_http(self.url) or urlsplit(self.url).username:
            raise ConfigError(f"remote_write {self.url}: allowed: http(s)://HOST/PATH, the token in a file")

    def document(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"url": self.url}
        if self.token_file is not None:
            entry["authorization"] = {"type": "Bearer", "credentials_file": str(self.token_file)}
        if self.recorded_only:
            kept = {"action": "keep", "source_labels": ["__name__"], "regex": ".+:.+|up"}
            entry["write_relabel_configs"] = [kept]
        return entry
