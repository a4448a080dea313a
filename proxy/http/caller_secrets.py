"""What of a request no log and no row may hold: what its caller proves itself with, and what was lent."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal
from urllib.parse import unquote_plus

from ledger.privacy import GONE, MIN_PART, MIN_SECRET, plain, unaccented, without
from settings.names import Names, is_only

HIDDEN = "[redacted]"
INSECURE_KEY = "openai-insecure-api-key."

_SECRET_NAME = re.compile(
    r"(?:^|[-_.])(?:(?:api|access|subscription|private|client|account|master|virtual|litellm)?[-_]?key"
    r"|token|secret|authorization|auth|cookie2?|password|passwd|credentials?|signature|jwt|assertion)s?$"
)
_NO_SECRETS = frozenset(
    {"idempotency-key", "page_token", "x-idempotency-key", "sec-websocket-key", "prompt-cache-key"}
)
_PARAMETERS = re.compile(r"[&;]")
_SEPARATED = re.compile(r"([&;])")
_WORDS = frozenset({"default", "priority", "standard", "medium", "minimal"})
"""Of the protocols, in most answers: whoever has one for a key has none."""

_NONE: Mapping[str, str] = {}


def _is_secret(name: str) -> bool:
    """Whether what has this name, of a header, cookie or parameter, is there to prove who asks."""
    name = name.strip().lower()
    return name not in _NO_SECRETS and _SECRET_NAME.search(name) is not None


is_secret = Names(_is_secret).__getitem__


def carries_secret(name: str, value: str) -> bool:
    """Whether a header's value may stand in no log."""
    return is_secret(name) or INSECURE_KEY in value


def redacted_target(target: str) -> str:
    """Path and query without the values of parameters that are secrets."""
    path, question, query = target.partition("?")
    return path + question + "".join(map(_redacted, _SEPARATED.split(query)))


def _redacted(part: str) -> str:
    name, equals, _ = part.partition("=")
    return f"{name}={HIDDEN}" if equals and is_secret(unquote_plus(name)) else part


def brings_credential(headers: Iterable[tuple[str, str]], query: str) -> bool:
    """Whether a caller has anything to prove who it is."""
    return next(_secrets(headers, query), None) is not None


class Secrets:
    """All that has to stay secret of one request.

    Args:
        key: the credential that its caller is known by.
    """

    __slots__ = ("_ends", "_headers", "_key", "_lent", "_query")

    def __init__(self, headers: Mapping[str, str] = _NONE, query: str = "", key: str | None = None) -> None:
        self._headers = headers
        self._query = query
        self._key = key if key is not None and len(key) >= MIN_SECRET else None
        self._lent: tuple[str, ...] = ()
        self._ends: tuple[str, ...] | None = None

    def lend(self, *credentials: str | None) -> None:
        """Credentials of ours go along."""
        lent = tuple(filter(None, credentials))
        self._lent += lent
        if self._ends is not None:
            self._ends += _ends(lent)

    def __call__(self) -> tuple[str, ...]:
        """The caller's, and those that were lent, longest first."""
        found = {*_secrets(self._headers.items(), self._query), *self._lent}
        return tuple(sorted(filter(None, found), key=len, reverse=True))

    def hide(self, text: str | None) -> str | None:
        """A short value that a caller or a provider chose, without keys: in any letters' case, or as a URL
        spells them. Cookies are none: some hold what is no secret elsewhere, as a session's id."""
        if text is None or len(text) < MIN_SECRET or text in _WORDS:
            return text
        if not (text.isascii() and text.isprintable()) and self._is_in(unaccented(plain(text))):
            return GONE
        if not self._is_in(text):
            return text
        shorter = without(text, (*self(), self._key or ""))
        return GONE if shorter == text else shorter

    def hide_all(self, *texts: str | None) -> Sequence[str | None]:
        """The same for many values: together they take hardly longer than one."""
        joined = "|".join(filter(None, texts))
        if not joined or (joined.isascii() and joined.isprintable() and not self._is_in(joined)):
            return texts
        return [self.hide(text) for text in texts]

    def _is_in(self, text: str) -> bool:
        """Whether a text holds the beginning or the end of one: quicker than to look for every part."""
        if self._ends is None:
            self._ends = self._find_ends()
        if not self._ends:
            return False
        folded = text.lower()
        if "%" in folded:
            folded += unquote_plus(folded)
        for end in self._ends:  # noqa: SIM110  # a dozen times a request: `any` takes twice as long
            if end in folded:
                return True
        return False

    def _find_ends(self) -> tuple[str, ...]:
        if "=" not in self._query and is_only("secret", _KIND_OF, self._headers):
            words = _words(self._headers.get("Authorization", ""))  # as of nearly all callers
            if self._key in words:
                return _ends((*words, *self._lent))
        return _ends((*_keys(self._headers.items(), self._query), *self._lent, self._key or ""))


NO_SECRETS = Secrets()


def _ends(secrets: Iterable[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for one in secrets:
        if len(one) >= MIN_SECRET:
            lower = one.lower()
            found[lower[:MIN_PART]] = found[lower[-MIN_PART:]] = None
    return tuple(found)


def _secrets(headers: Iterable[tuple[str, str]], query: str) -> Iterator[str]:
    for name, value in headers:
        if name.lower() == "cookie":
            yield from (part.partition("=")[2].strip() for part in value.split(";"))
    yield from _keys(headers, query)


def _keys(headers: Iterable[tuple[str, str]], query: str) -> Iterator[str]:
    for kind, value in [(k, v) for n, v in headers if (k := _KIND_OF(n)) is not None]:
        if kind == "offers":
            offers = (offer.strip() for offer in value.split(","))
            yield from (o.removeprefix(INSECURE_KEY) for o in offers if o.startswith(INSECURE_KEY))
        else:
            yield from _words(value)
    for part in _PARAMETERS.split(query.removeprefix("?")) if len(query) > 1 else ():
        name, _, value = part.partition("=")
        if value and is_secret(unquote_plus(name)):
            yield unquote_plus(value)


def _kind(name: str) -> Literal["secret", "offers"] | None:
    name = name.lower()
    if name == "sec-websocket-protocol":
        return "offers"
    return "secret" if is_secret(name) and name != "cookie" else None


_KIND_OF = Names(_kind).__getitem__


def _words(value: str) -> Sequence[str]:
    """A header's value, the credential in it, and what that one holds."""
    value = value.strip()
    scheme, _, rest = value.partition(" ")
    if not rest:
        return (value,)
    rest = rest.strip()
    if scheme.lower() != "basic":
        return value, rest
    try:
        return value, rest, *base64.b64decode(rest, validate=True).decode().split(":", 1)
    except ValueError:  # neither base64 nor a text: no more can be told of it
        return value, rest
