"""What of a caller an account's provider hears: by allow-list, for nobody can list all that gives one away.

Names that say nothing of who asks go on, whatever they hold; all others end here.
"""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import unquote_plus

from multidict import MultiMapping

from proxy.http.headers import RawHeaders, lines_of, names_others, request_lines
from settings.names import Names

FORWARDED_HEADERS = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"anthropic-beta",
        b"anthropic-dangerous-direct-browser-access",
        b"anthropic-version",
        b"cache-control",
        b"content-digest",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-md5",
        b"content-type",
        b"conversation_id",
        b"digest",
        b"idempotency-key",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"openai-beta",
        b"originator",
        b"pragma",
        b"prefer",
        b"range",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"session-id",
        b"session_id",
        b"traceparent",
        b"tracestate",
        b"user-agent",
        b"version",
        b"x-app",
        b"x-client-request-id",
        b"x-codex-beta-features",
        b"x-codex-parent-thread-id",
        b"x-codex-turn-metadata",
        b"x-codex-turn-state",
        b"x-codex-window-id",
        b"x-goog-api-client",
        b"x-goog-fieldmask",
        b"x-openai-subagent",
        b"x-request-id",
        b"x-responsesapi-include-timing-metrics",
        b"x-server-timeout",
        b"x-session-id",
    }
)
"""Of requests that go out with an account's credential; what is of one connection is taken out before."""

FORWARDED_PREFIX = b"x-stainless-"
"""What OpenAI's and Anthropic's own clients say of themselves: language, version, operating system."""

FORWARDED_PARAMETERS = frozenset(
    {
        "$alt",
        "after",
        "after_id",
        "alt",
        "api-version",
        "before",
        "before_id",
        "beta",
        "call_id",
        "client_version",
        "filter",
        "include",
        "include_obfuscation",
        "intent",
        "limit",
        "metadata",
        "model",
        "order",
        "page",
        "pagesize",
        "pagetoken",
        "purpose",
        "starting_after",
        "stream",
        "variant",
    }
)
"""Of their query strings; `include[]` is `include`."""

_SUBPROTOCOLS = re.compile(r"realtime|openai-beta\.[\w.=-]+", re.ASCII)
"""Offers of a WebSocket client that say nothing of it; some say its key."""

_PARAMETERS = re.compile(r"[&;]")


def anonymous_lines(
    raw: RawHeaders, headers: MultiMapping[str], besides: frozenset[bytes] = frozenset()
) -> list[bytes]:
    """The header lines that say nothing of who asks, as they go upstream.

    Args:
        raw, headers: the same headers, as bytes and by name.
        besides: names, in lower case, that are configured to go on too.
    """
    if besides or "Sec-WebSocket-Protocol" in headers or names_others(headers):
        return _by_one(raw, headers, besides)
    return lines_of(raw, _GOES_PLAINLY)


def _by_one(raw: RawHeaders, headers: MultiMapping[str], besides: frozenset[bytes]) -> list[bytes]:
    """The same for headers of which some names or values need a closer look."""
    kept: list[tuple[bytes, bytes]] = []
    for name, value in raw:
        if _GOES[name] == "offers":
            kept += [(name, offers)] if (offers := _plain_offers(value)) else []
        elif _GOES[name] or name.lower() in besides:
            kept.append((name, value))
    return request_lines(kept, headers)


def _goes(name: bytes) -> Literal["plain", "offers"] | None:
    name = name.lower()
    if name in FORWARDED_HEADERS or name.startswith(FORWARDED_PREFIX):
        return "plain"
    return "offers" if name == b"sec-websocket-protocol" else None


_GOES = Names(_goes)
_GOES_PLAINLY = Names[bytes, bool](lambda name: _goes(name) == "plain").__getitem__


def _plain_offers(value: bytes) -> bytes:
    offers = (offer.strip() for offer in value.decode("latin-1").split(","))
    return ", ".join(filter(_SUBPROTOCOLS.fullmatch, offers)).encode("latin-1")


def anonymous_target(target: str, besides: frozenset[str] = frozenset()) -> str:
    """Path and query without the parameters that may say who asks. Of the rest none is rewritten."""
    path, question, query = target.partition("?")
    if not query:
        return target
    parts = _PARAMETERS.split(query)
    kept = [part for part in parts if _parameter(part) in FORWARDED_PARAMETERS | besides]
    if len(kept) == len(parts):
        return target
    return f"{path}{question}{'&'.join(kept)}" if kept else path


def _parameter(part: str) -> str:
    return unquote_plus(part.partition("=")[0]).partition("[")[0].strip().lower()
