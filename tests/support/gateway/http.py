"""The HTTP side of a simulated gateway: as much of /v0/management as a collector asks for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.gateway.access import Access
from tests.support.gateway.queue import Queue

_WORDS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


@dataclass(slots=True)
class Site:
    """What the gateway answers by HTTP.

    Attributes:
        version: None: it sends none.
        files: what `auth-files` lists.
        keys: what `api-key-usage` lists.
        managed: it has /v0/management.
        cut_after: bytes of the next answer of the queue after which the connection breaks; once.
    """

    queue: Queue
    access: Access
    version: str | None = "7.2.99"
    publishing: bool = True
    files: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, Any] = field(default_factory=dict)
    managed: bool = True
    cut_after: int | None = None

    def answer(self, target: str, headers: Mapping[str, str]) -> tuple[int, object]:
        """Status and document of a GET."""
        parts = urlsplit(target)
        if not self.managed or not parts.path.startswith("/v0/management/"):
            return 404, {"error": "not found"}
        refused = self.access.refusal(_key(headers))
        if refused is not None:
            return refused[0], {"error": refused[1]}
        match parts.path.removeprefix("/v0/management/"):
            case "config":
                return 200, {
                    "usage-statistics-enabled": self.publishing,
                    "redis-usage-queue-retention-seconds": self.queue.retention,
                    "api-keys": ["ck-never-to-be-seen-0123456789"],
                }
            case "usage-statistics-enabled":
                return 200, {"usage-statistics-enabled": self.publishing}
            case "auth-files":
                return 200, {"files": self.files}
            case "api-key-usage":
                return 200, self.keys
            case "usage-queue":
                return self._pop(parse_qs(parts.query).get("count", ["1"])[0])
        return 404, {"error": "not found"}

    def _pop(self, count: str) -> tuple[int, object]:
        if not count.isdigit() or int(count) <= 0:
            return 400, {"error": "count must be a positive integer"}
        return 200, Array(self.queue.pop(int(count)))


@dataclass(frozen=True, slots=True)
class Array:
    """Events of the queue; one that is no JSON goes as a string."""

    items: list[bytes]

    def encode(self) -> bytes:
        return b"[" + b",".join(map(_element, self.items)) + b"]"


async def serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, site: Site, first: bytes = b""
) -> None:
    """Answer one connection, request after request.

    Args:
        first: what was read of it already.
    """
    while True:
        try:
            head = first + await reader.readuntil(b"\r\n\r\n")
            first = b""
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            return
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ")
        if len(words) != 3:
            return
        fields = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        status, document = site.answer(words[1], headers)
        body = document.encode() if isinstance(document, Array) else json.dumps(document).encode()
        named = f"X-CPA-VERSION: {site.version}\r\n" if site.version else ""
        writer.write(
            f"HTTP/1.1 {status} {_WORDS[status]}\r\nContent-Type: application/json\r\n{named}"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
        )
        if isinstance(document, Array) and site.cut_after is not None and document.items:
            writer.write(body[: site.cut_after])
            site.cut_after = None
            await writer.drain()
            return
        writer.write(body)
        await writer.drain()


def _key(headers: Mapping[str, str]) -> str:
    given = headers.get("authorization", "")
    if given:
        scheme, _, rest = given.partition(" ")
        return rest if scheme.lower() == "bearer" and rest else given
    return headers.get("x-management-key", "")


def _element(item: bytes) -> bytes:
    try:
        json.loads(item)
    except ValueError:
        return json.dumps(item.decode("utf-8", "replace")).encode()
    return item
