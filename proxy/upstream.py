"""The way to the provider: one pooled client session, and aiohttp's errors translated once."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from proxy.errors import ProxyError, Refused, UpstreamError, UpstreamTimeout

Body = bytes | AsyncIterator[bytes] | None

_MOST_HEADER = 64 * 1024
_NOT_OURS = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
"""Headers that the client library would add by itself."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: `connect` for reaching the provider, `idle` for its silence in between bytes."""

    connect: float
    idle: float


def base_url(configured: str) -> str:
    """The provider's base with its version segment: `https://host` and `https://host/v1` are the same."""
    configured = configured.rstrip("/")
    return configured if configured.endswith("/v1") else f"{configured}/v1"


class Upstream:
    """One provider.

    Args:
        base: what `base_url` gave.
    """

    def __init__(self, base: str, limits: Limits) -> None:
        self._base = base
        self.host = urlsplit(base).netloc
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_NOT_OURS,
            max_line_size=_MOST_HEADER,
            max_field_size=_MOST_HEADER,
            timeout=aiohttp.ClientTimeout(total=None, connect=limits.connect, sock_read=limits.idle),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(
        self, method: str, tail: str, headers: CIMultiDict[str], body: Body
    ) -> aiohttp.ClientResponse:
        """Send a request; returns when the answer's head has arrived.

        Args:
            tail: path behind the base, and query, as the client wrote them.
        Raises: UpstreamError, UpstreamTimeout; Refused for headers that cannot be sent on.
        """
        try:
            return await self._session.request(
                method,
                URL(self._base + tail, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self.translated(error) from error
        except ProxyError:
            raise  # from the body that is passing: refused, or the client is gone
        except UnicodeEncodeError as error:
            raise Refused(400, "invalid_header", "a request header is not valid UTF-8") from error

    async def read(self, answer: aiohttp.ClientResponse) -> bytes:
        """The next bytes of an answer; empty at its end.

        Raises: UpstreamError, UpstreamTimeout.
        """
        try:
            return await answer.content.readany()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self.translated(error) from error

    def translated(self, error: Exception) -> UpstreamError:
        """A client library's error in our words."""
        if isinstance(error, TimeoutError):
            return UpstreamTimeout(f"{self.host} did not answer in time", "upstream_timeout")
        if isinstance(error, aiohttp.ClientConnectorError):
            return UpstreamError(f"cannot reach {self.host}: {_reason(error)}", "upstream_unreachable")
        return UpstreamError(f"{self.host} broke off: {_reason(error)}", "upstream_broken")


@lru_cache(maxsize=1024)
def _url(base: str, tail: str) -> URL:
    """The same few paths come again and again, and parsing one costs as much as a header."""
    return URL(base + tail, encoded=True)


def _reason(error: Exception) -> str:
    number = getattr(getattr(error, "os_error", None) or error, "errno", None)
    return os.strerror(number) if number else type(error).__name__
