"""What of a caller an account's provider hears: by allow-list, for nobody can list all that gives one away.

Names that say nothing of who asks go on, whatever they hold; all others end here. And what a caller's own
secrets are: what no log and no row may hold.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import unquote_plus

from ledger.privacy import MIN_SECRET, without
from proxy.http.headers import RawHeaders

FORWARDED_HEADERS = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"anthropic-beta",
        b"anthropic-dangerous-direct-browser-access",
        b"anthropic-version",
        b"cache-control",
        b"connection",
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

SUBPROTOCOL = b"sec-websocket-protocol"
INSECURE_KEY = "openai-insecure-api-key."
_SUBPROTOCOLS = re.compile(r"realtime|openai-beta\.[\w.=-]+", re.ASCII)
"""Offers of a WebSocket client that say nothing of it; some say its key."""

_SECRET_NAME = re.compile(
    r"(?:^|[-_.])(?:(?:api|access|subscription|private|client|account|master|virtual|litellm)?[-_]?key"
    r"|token|secret|authorization|auth|cookie2?|password|passwd|credentials?|signature|jwt|assertion)s?$"
)
_NO_SECRETS = frozenset(
    {"idempotency-key", "page_token", "x-idempotency-key", "sec-websocket-key", "prompt-cache-key"}
)
_PARAMETERS = re.compile(r"[&;]")
_NONE: Mapping[str, str] = {}


def known_to_nobody(
    headers: RawHeaders, besides: frozenset[bytes] = frozenset()
) -> Iterator[tuple[bytes, bytes]]:
    """The headers that say nothing of who asks.

    Args:
        besides: names, in lower case, that are configured to go on too.
    """
    for name, value in headers:
        lower = name.lower()
        if lower in FORWARDED_HEADERS or lower.startswith(FORWARDED_PREFIX) or lower in besides:
            yield name, value
        elif lower == SUBPROTOCOL:
            offers = [offer.strip() for offer in value.decode("latin-1").split(",")]
            if plain := ", ".join(filter(_SUBPROTOCOLS.fullmatch, offers)):
                yield name, plain.encode("latin-1")


def anonymous_target(target: str, besides: frozenset[str] = frozenset()) -> str:
    """Path and query without the parameters that may say who asks. Of the rest none is written anew."""
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


@lru_cache(maxsize=1024)
def is_secret(name: str) -> bool:
    """Whether what has this name, of a header, cookie or parameter, is there to prove who asks."""
    name = name.strip().lower()
    return name not in _NO_SECRETS and _SECRET_NAME.search(name) is not None


def brings_credential(headers: Iterable[tuple[str, str]], query: str) -> bool:
    """Whether a caller has anything to prove who it is."""
    return next(_secrets(headers, query), None) is not None


class Secrets:
    """All that has to stay secret of one request.

    Args:
        key: the credential that its caller is known by.
    """

    __slots__ = ("_headers", "_key", "_lent", "_query")

    def __init__(self, headers: Mapping[str, str] = _NONE, query: str = "", key: str | None = None) -> None:
        self._headers = headers
        self._query = query
        self._key = key if key is not None and len(key) >= MIN_SECRET else None
        self._lent: tuple[str, ...] = ()

    def lend(self, *credentials: str | None) -> None:
        """Credentials of ours go along."""
        self._lent += tuple(filter(None, credentials))

    def __call__(self) -> tuple[str, ...]:
        """The caller's, and those that were lent, longest first."""
        found = {*_secrets(self._headers.items(), self._query), *self._lent}
        return tuple(sorted(filter(None, found), key=len, reverse=True))

    def hide(self, text: str | None) -> str | None:
        """A short value that a caller or a provider chose, without the caller's key."""
        if self._key is None or text is None or self._key not in text:
            return text
        return without(text, (self._key,))


def _secrets(headers: Iterable[tuple[str, str]], query: str) -> Iterator[str]:
    for name, value in headers:
        lower = name.lower()
        if lower == "sec-websocket-protocol":
            offers = (offer.strip() for offer in value.split(","))
            yield from (o.removeprefix(INSECURE_KEY) for o in offers if o.startswith(INSECURE_KEY))
        elif lower == "cookie":
            yield from (part.partition("=")[2].strip() for part in value.split(";"))
        elif is_secret(lower):
            yield from _words(value)
    for part in _PARAMETERS.split(query.removeprefix("?")) if len(query) > 1 else ():
        name, _, value = part.partition("=")
        if value and is_secret(unquote_plus(name)):
            yield unquote_plus(value)


def _words(value: str) -> Iterator[str]:
    """A header's value, the credential in it, and what that one holds."""
    value = value.strip()
    yield value
    scheme, _, rest = value.partition(" ")
    if rest:
        yield rest.strip()
    if scheme.lower() == "basic":
        try:
            yield from base64.b64decode(rest, validate=True).decode().split(":", 1)
        except (binascii.Error, UnicodeDecodeError):
            return
