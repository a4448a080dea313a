"""Keys leave an event before it is stored. Pure.

What a gateway publishes holds the caller's key, for some accounts the provider's key as `source`, and
error texts that may quote either. Each is replaced by its mask and, where it is long enough not to be
guessed, a part of its SHA-256, so that one key stays one key. Everything else keeps its bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256

from collector.decoding.fields import parsed
from ledger.privacy import mask_key

MIN_HASHED = 16
"""Characters of a key whose hash may be stored: a shorter one could be found by trying."""

HASH_DIGITS = 24
MIN_ELSEWHERE = 6
"""Characters of a secret that is looked for outside its own field: shorter ones are words by chance."""

GONE = b"[...]"

_NAME = re.compile(
    r"(?i)(?:api[-_]?key|token|secret|passw(?:or)?d|authorization|cookie2?|credential|session)s?$"
)
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_FIELD = re.compile(rb'"([A-Za-z0-9_-]{1,64})"\s*:\s*"((?:[^"\\]|\\.)*)(?:"|\\?$)')
_HINTS = (
    b"sk-",
    b"sk_",
    b"pk-",
    b"pk_",
    b"rk_",
    b"rk-",
    b"gsk_",
    b"xai-",
    b"sess-",
    b"hf_",
    b"AIza",
    b"ya29.",
)
_MORE_HINTS = (b"eyJ", b"earer ", b"EARER ", b"ghp_", b"gho_", b"github_pat_", b"xox", b"AKIA", b"glpat-")
_SHAPED = re.compile(
    rb"(?<![A-Za-z0-9])(?:(?:sk|pk|rk|gsk|xai|sess|hf|gh[opsru]|github_pat|glpat|xox[abeoprs])[-_]"
    rb"[\w*.~+/=-]{6,}|AIza[\w-]{10,}|ya29\.[\w-]+|eyJ[\w-]{8,}(?:\.[\w-]*)*|AKIA[A-Z0-9]{8,}"
    rb"|(?i:bearer) +[\w.~+/=-]{6,})"
)


def redact(raw: bytes) -> bytes:
    """The event without clear keys; what is no JSON is searched all the same."""
    short = False
    clean = raw
    for secret in dict.fromkeys(_secrets(raw)):
        instead = token(secret).encode()
        for spelled in _spellings(secret):
            if len(secret) < MIN_ELSEWHERE or _is_name(clean, spelled):
                short = True
            else:
                clean = clean.replace(spelled, instead)
    if short:
        clean = _FIELD.sub(_in_its_field, clean)
    if any(hint in clean for hint in _HINTS) or any(hint in clean for hint in _MORE_HINTS):
        clean = _SHAPED.sub(lambda found: found[0] if b"..." in found[0] else GONE, clean)
    return clean


@lru_cache(maxsize=4096)
def token(secret: str) -> str:
    """What stands for a key: `sk-a...wxyz#0123456789abcdef01234567`."""
    mask = mask_key(secret)
    if len(secret) < MIN_HASHED:
        return mask
    return f"{mask}#{sha256(secret.encode()).hexdigest()[:HASH_DIGITS]}"


def masked(stored: str | None) -> str:
    """The mask alone of what `token` made: what the ledger and the metrics know a key by."""
    return (stored or "unknown").partition("#")[0]


def _secrets(raw: bytes) -> Iterator[str]:
    try:
        document = parsed(raw)
    except (ValueError, RecursionError):
        for name, value in _FIELD.findall(raw):
            text = value.decode("utf-8", "replace")
            if _is_secret(name.decode(), text):
                yield text
        return
    yield from _inside(document, "")


def _inside(value: object, name: str) -> Iterator[str]:
    """The secrets of a document; the strings of an array have its name."""
    if isinstance(value, str):
        if value and _is_secret(name, value):
            yield value
    elif isinstance(value, dict):
        for inner, below in value.items():
            if type(below) is str:
                if below and _is_secret(inner, below):
                    yield below
            elif type(below) is dict or type(below) is list:
                yield from _inside(below, inner)
    elif isinstance(value, list):
        for below in value:
            yield from _inside(below, name)


def _is_secret(name: str, value: str) -> bool:
    if name == "source":  # an e-mail address for logins, the provider's key for keys
        return not _ADDRESS.fullmatch(value)
    return _names_secret(name)


@lru_cache(maxsize=1024)
def _names_secret(name: str) -> bool:
    return bool(_NAME.search(name))


@lru_cache(maxsize=4096)
def _spellings(secret: str) -> tuple[bytes, ...]:
    """How a secret may stand in JSON: in a string, and in a string of JSON within a string."""
    once = json.dumps(secret, ensure_ascii=False)[1:-1]
    as_go = "".join(f"\\u{ord(c):04x}" if c in "<>&\u2028\u2029" else c for c in once)
    twice = [json.dumps(form, ensure_ascii=False)[1:-1] for form in (once, as_go)]
    ascii_only = json.dumps(secret)[1:-1]
    forms = dict.fromkeys((secret, once, as_go, ascii_only, *twice))
    return tuple(form.encode("utf-8", "replace") for form in sorted(forms, key=len, reverse=True))


def _is_name(raw: bytes, spelled: bytes) -> bool:
    """Whether an event has a field of this name: a key may be called `model`."""
    return b'"%s":' % spelled in raw


def _in_its_field(found: re.Match[bytes]) -> bytes:
    text = found[2].decode("utf-8", "replace")
    if not _is_secret(found[1].decode(), text) or "..." in text:
        return found[0]
    begin, end = found.start(2) - found.start(), found.end(2) - found.start()
    return found[0][:begin] + token(text).encode() + found[0][end:]
