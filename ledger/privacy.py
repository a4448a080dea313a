"""What may be stored of a secret and of a provider's text. Pure, and bounded in time.

Texts are read as they look, however their letters are encoded. Then three sieves follow: the secrets that are
known at that moment go by their value, in whatever way they are spelled; what looks like chance goes, since
nobody writes like that; and what is known by its name or its shape goes: header lines, query parameters, keys
of known providers, e-mail addresses.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from urllib.parse import quote

MAX_MESSAGE = 300
"""Characters of an error message that are kept."""

MAX_EXAMINED = 4096
"""Characters of one that are looked at."""

MAX_CODE = 64
"""Characters of a provider's error code that are kept."""

MIN_SECRET = 6
"""Characters of a secret that is looked for by its value: shorter ones are words by chance."""

MIN_PART = 12
"""Characters of a known secret that are taken for it: words of fewer stand in both by chance."""

MIN_RANDOM = 8
"""Letters and digits in a row of which it can be told whether they are there by chance."""

MAX_BODY = 8192
"""Characters of the answer to a failed request that are kept, where the configuration keeps any."""

GONE = "[...]"

_QUOTE = re.compile(r"[`\"“”„«»‹›‘]|(?<!\w)['’]|['’](?!\w)")
_WORD = re.compile(r"[^\s,;()<>{}\[\]]+")

_NAMED = re.compile(
    r"(?i)(cookie2?\s?[:=]).*"
    r"|((?:authorization|credentials?)\s?[:=]\s?)(?:(?:bearer|basic|token|digest)\s+)?\S+"
    r"|((?:key|token|secret|passw(?:or)?d|signature|session|jwt|sid)[\w.-]{0,20}(?:=|%3d|\s?:\s?))"
    r"(?!\s*\d{1,9}\b)\S+"
    r"|\b(?:bearer|basic)\s+\S+"
)
"""What stands behind a name that says what it is. Small numbers stay: they are limits, not keys."""

_KEYS = (
    r"(?i)\b(?:sk|sess|rk|pk|csk|gsk|xai|nvapi|pplx|tgp|r8|hf|gh[oprsu]|github_pat|glpat|xox[abeoprs]|whsec|tvly)"
    r"[-_][\w*.~+/=\-]{4,}"
    r"|\b(?:key|api|app|org|proj|user|acct|pa|fw|ak|jina)[-_](?=[^\s\d]*\d)[\w*.~+/=\-]{8,}"
    r"|\bya29\.[\w\-]+|\bAQ\.[\w\-]{8,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{8,}"
    r"|\bAIza[\w\-]{10,}"
    r"|\beyJ[\w\-]+(?:\.[\w\-]*)*"
)
_SHAPED = re.compile(
    _KEYS + r"|[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{1,99}"
    r"|\b[0-9a-f]{8}(?:-[0-9a-z]{4}){3}-[0-9a-z]{4,}\b"
    r"|\b[0-9a-f]{24,}\b"
)

_KEYS_ALONE = re.compile(_KEYS)
_NAMED_IN_JSON = re.compile(
    r'(?i)(\\*"[\w.-]{0,40}(?:key|token|secret|passw(?:or)?d|signature|session|cookie|authorization|credential)s?\\*"'
    r'\s*:\s*)\\*"(?:[^"\\]|\\.)*"?'
)

_SEGMENT = re.compile(r"[A-Za-z0-9]+")
_TURNS = re.compile(r"(?<=[0-9])(?=[A-Za-z])|(?<=[A-Za-z])(?=[0-9])")
_WORDED = re.compile(r"(?=.{1,40}$)[a-z]+(?:_[a-z]+)*(?:_\d{1,3})?")
_BLANK = dict.fromkeys([0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800])
"""Letters that show nothing; what else does not is told by its category."""

_ESCAPED = re.compile(r"(?<!\\)((?:\\\\)*)\\u([0-9a-fA-F]{4})")
_MASKED = re.compile(r"\*{3,}|•{3,}")


def mask_key(key: str | None) -> str:
    """A caller's key as a label: first and last four characters, or a word for what it is."""
    if not key:
        return "unknown"
    return f"{key[:4]}...{key[-4:]}" if len(key) > 8 else "short_key"


def safe_message(text: object, secrets: Iterable[str] = ()) -> str | None:
    """A provider's error text without what callers may have put into it.

    Quotes are where providers repeat a request's own words, and nobody knows where such a quote ends:
    the text is kept up to the first one. Whatever is no text gives None.

    Args:
        secrets: those of the caller and of the account that were used.
    """
    if not isinstance(text, str) or not text:
        return None
    secrets = tuple(secrets)
    found = plain(text[: MAX_EXAMINED + max(map(len, secrets), default=0)])
    return _undisguised(found, lambda text: _sieved(text, secrets))


def _undisguised(text: str, sieve: Callable[[str], str]) -> str:
    """What a sieve leaves of a text, or of its bare letters where there is a key in them."""
    kept, bare = sieve(text), unaccented(text)
    if bare != text and (barer := sieve(bare)).count(GONE) > kept.count(GONE):
        return barer
    return kept


def _sieved(text: str, secrets: tuple[str, ...]) -> str:
    text = without(text, secrets)[:MAX_EXAMINED]
    quotes = _QUOTE.search(text)
    if quotes:
        text = text[: quotes.start()] + GONE
    return " ".join(without_likely(text).split())[:MAX_MESSAGE]


def plain(text: str) -> str:
    """A text as it looks: no characters that show nothing, and letters of other widths and styles as what
    they are."""
    if text.isascii() and text.isprintable():
        return text
    text = unicodedata.normalize("NFKC", text).translate(_BLANK)
    return "".join(c for c in text if c in "\t\r\n" or unicodedata.category(c) not in ("Cc", "Cf"))


def unaccented(text: str) -> str:
    """The same without accents, and other marks on letters."""
    if text.isascii():
        return text
    apart = unicodedata.normalize("NFKD", text)
    return "".join(c for c in apart if unicodedata.category(c) not in ("Mn", "Me"))


def safe_code(code: str | None, secrets: Iterable[str] = ()) -> str | None:
    """A provider's error code; `redacted` for one that holds what a message may not."""
    if not code:
        return None
    if len(code) > MAX_CODE or "[" in code or unaccented(plain(code)) != code:
        return "redacted"
    return code if safe_message(code, secrets) == code else "redacted"


def worded_code(code: str) -> str:
    """A provider's error code where nothing is known of the request that it is about: `other` for one that is
    not made of words, as codes are."""
    return code if _WORDED.fullmatch(code) and safe_code(code) == code else "other"


def raw_body(body: bytes, secrets: Iterable[str] = ()) -> str | None:
    """The beginning of a provider's answer as it wrote it, but for keys: those that are known by their value,
    and what is one by its name or its shape."""
    secrets = tuple(secrets)
    text = body[: 4 * MAX_BODY].decode("utf-8", "replace")
    text = plain(_ESCAPED.sub(_unescaped, text))
    text = text[: MAX_BODY + max(map(len, secrets), default=0)]
    return _undisguised(text, lambda text: _without_keys(text, secrets)).strip() or None


def _without_keys(text: str, secrets: tuple[str, ...]) -> str:
    text = without(text, secrets)[:MAX_BODY]
    text = _NAMED_IN_JSON.sub(lambda found: f'{found[1]}"{GONE}"', text)
    return _KEYS_ALONE.sub(GONE, _NAMED.sub(_name_alone, text))


def without_likely(text: str) -> str:
    """A text without what is known for a secret by its name or its shape, and what looks like chance."""
    text = _NAMED.sub(_name_alone, text)
    text = _SHAPED.sub(GONE, text)
    return _WORD.sub(_unless_random, text)


def without(text: str, secrets: Iterable[str], *, instead: str = GONE) -> str:
    """A text without these secrets: whole, in part, in other letters' case, or as a URL spells them."""
    for secret in secrets:
        for spelled in dict.fromkeys((secret, quote(secret, safe="", errors="surrogateescape"))):
            if len(spelled) >= MIN_SECRET:
                text = _without(text, spelled, instead)
    return text


def _without(text: str, secret: str, instead: str) -> str:
    folded, lower = text.lower(), secret.lower()
    if len(folded) != len(text):  # a letter that is longer in lower case; the places would be wrong
        return text.replace(secret, instead)
    size = min(MIN_PART, len(lower))
    parts = {lower[at : at + size] for at in range(len(lower) - size + 1)}
    kept, at, copied = [], 0, 0
    if not any(part in folded for part in parts):
        return text
    while at <= len(folded) - size:
        if folded[at : at + size] not in parts:
            at += 1
            continue
        end = at + size
        while end < len(folded) and folded[end - size + 1 : end + 1] in parts:
            end += 1
        kept += [text[copied:at], instead]
        at = copied = end
    return "".join((*kept, text[copied:]))


def _unescaped(found: re.Match[str]) -> str:
    """A character that JSON need not escape, as itself."""
    character = chr(int(found[2], 16))
    needed = character in '"\\' or "\ud800" <= character <= "\udfff" or character in "\t\r\n"
    return found[0] if needed else found[1] + character


def _name_alone(found: re.Match[str]) -> str:
    return next((name for name in found.groups() if name), "") + GONE


def _unless_random(found: re.Match[str]) -> str:
    word = found[0]
    if len(word) < MIN_RANDOM or word == GONE:
        return word
    if _MASKED.search(word) or any(map(_is_random, _SEGMENT.findall(word))):
        return GONE
    return word


def _is_random(segment: str) -> bool:
    """Whether a run of letters and digits looks like chance. Names of models, dates and words do not."""
    size = len(segment)
    if size < MIN_RANDOM:
        return False
    digits = sum(map(str.isdigit, segment))
    if digits == size:
        return size >= 16
    if digits:
        return size >= 16 or len(_TURNS.findall(segment)) >= 3
    capitals = sum(map(str.isupper, segment))
    if capitals in (0, size):
        return size >= 24
    return size >= 12 and min(capitals, size - capitals) >= size / 4
