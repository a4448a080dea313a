"""One spelling for each path, decided before anything else. Pure.

Servers differ in what they make of `//`, `%2e`, `..;/` or `%252f`. A path that some of them would take for
another one by dot segments is refused. Of the rest one spelling is sent (`split_target`), and what is decided
on is its meaning (`meaning`): decoded as far as any server would, without parameters, in lower case.
"""

from __future__ import annotations

import re
from unicodedata import normalize
from urllib.parse import unquote_to_bytes

from proxy.errors import Refused
from settings.names import Names

MAX_DECODINGS = 4
"""How often a path may be percent-encoded over; nobody does it twice in good faith."""

_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~:@!$&'()*+,=-][A-Za-z0-9_~:@!$&'()*+,=.-]*)+")
"""Paths that mean what they say to every server."""

_SLASHES = re.compile(r"/{2,}")
_UNRESERVED = re.compile(r"(?i)%(?:2d|2e|5f|7e|3[0-9]|[46][1-9a-f]|[57][0-9a])")
"""Encoded letters, digits and `-._~`: RFC 3986 (6.2.2.2) has them the same as their plain spelling."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_REST = re.compile(r"[?#].*", re.DOTALL)


def split_target(raw: str) -> tuple[str, str]:
    """Path and query ("?..." or "") of a request target, as they are sent to the provider.

    Absolute-form targets keep path and query alone: the provider's host is never the client's choice.

    Raises: Refused for a path that a server could resolve to another one.
    """
    if not raw.startswith("/"):
        _, separator, rest = raw.partition("://")
        slash = rest.find("/")
        raw = rest[slash:] if separator and slash >= 0 else "/"
    path, question, query = raw.partition("?")
    if "#" in raw:
        raise _refused()
    return canonical(path), question + query


def _canonical(path: str) -> str:
    """The spelling of a path that is sent. Raises: Refused."""
    if _PLAIN.fullmatch(path):
        return path
    _segments(path)
    return _UNRESERVED.sub(lambda match: chr(int(match[0][1:], 16)), _SLASHES.sub("/", path))


def _meaning(path: str) -> str:
    """What a path means to the most lenient of servers, in lower case. Raises: Refused."""
    if _PLAIN.fullmatch(path):
        return path.lower()
    return "/" + "/".join(_segments(path)).lower()


def _segments(path: str) -> list[str]:
    """The path's segments, decoded, without parameters; empty ones are left out. Raises: Refused."""
    plain = normalize("NFKC", _decoded(path))
    if _CONTROL.search(plain):
        raise _refused()
    segments = [segment.partition(";")[0].strip() for segment in _REST.sub("", plain).split("/")]
    if not {".", ".."}.isdisjoint(segments):
        raise _refused()
    return [segment for segment in segments if segment]


def _decoded(path: str) -> str:
    """A path without any percent-encoding. Raises: Refused."""
    data = path.encode("utf-8", "surrogateescape")
    for _ in range(MAX_DECODINGS):
        before, data = data, unquote_to_bytes(data)
        if data == before:
            break
    else:
        raise _refused()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refused() from error


def _refused() -> Refused:
    return Refused(400, "invalid_path", "the path has dot segments or characters that are not allowed")


canonical = Names(_canonical).__getitem__
meaning = Names(_meaning).__getitem__
