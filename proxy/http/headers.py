"""Which headers travel on. Pure; order, case, repetition and bytes of the rest stay as they came."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import compress
from operator import itemgetter

from multidict import MultiMapping

from settings.names import Names

RawHeaders = tuple[tuple[bytes, bytes], ...]

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""RFC 9110, 7.6.1: they speak of one connection, not of the message."""

_FRAMING = frozenset({b"content-length"})
"""What a body's reader cannot do without, whatever `Connection` names."""

PLAIN_CONNECTION = frozenset({"keep-alive", "close", "Keep-Alive", "Upgrade"})
"""Values of `Connection` that name no header but such as do not travel anyway."""

_REQUEST_DROPS = HOP_BY_HOP | {b"host", b"content-length", b"expect"}
"""Host and Content-Length are rewritten; Expect was answered here."""

OF_THE_ACCOUNT = frozenset(
    {b"set-cookie", b"openai-organization", b"openai-project", b"anthropic-organization-id"}
)
"""Names in an answer that tell of the account, not of the answer."""

ROUTED_DROPS = HOP_BY_HOP | OF_THE_ACCOUNT
"""Of an answer to a request that went out with an account."""

Keeps = Callable[[bytes], object]
_name_of = itemgetter(0)


def _keeping(drops: frozenset[bytes]) -> Keeps:
    return Names[bytes, bool](lambda name: name.lower() not in drops).__getitem__


_KEEPS = {drops: _keeping(drops) for drops in (_REQUEST_DROPS, HOP_BY_HOP, ROUTED_DROPS)}


def request_lines(raw: Collection[tuple[bytes, bytes]], headers: MultiMapping[str]) -> list[bytes]:
    """The client's header lines as they go upstream."""
    return kept_lines(raw, headers, _REQUEST_DROPS)


def kept_lines(
    raw: Collection[tuple[bytes, bytes]], headers: MultiMapping[str], drops: frozenset[bytes]
) -> list[bytes]:
    """Header lines without the dropped names, and without those that `Connection` names.

    Args:
        raw, headers: the same headers, as bytes and by name.
    """
    if names_others(headers):
        for value in headers.getall("Connection"):
            named = {part.strip().lower() for part in value.encode("utf-8", "surrogateescape").split(b",")}
            drops = drops | (named - _FRAMING)
    keeps = _KEEPS.get(drops)
    return lines_of(raw, _keeping(drops) if keeps is None else keeps)


def lines_of(raw: Collection[tuple[bytes, bytes]], keeps: Keeps) -> list[bytes]:
    """The lines of those headers whose names are kept, without a step of the interpreter for each."""
    return list(map(b": ".join, compress(raw, map(keeps, map(_name_of, raw)))))


def names_others(headers: MultiMapping[str]) -> bool:
    """Whether `Connection` names headers that would travel."""
    return "Connection" in headers and not PLAIN_CONNECTION.issuperset(headers.getall("Connection"))


def replaced(lines: Iterable[bytes], name: bytes, value: bytes) -> list[bytes]:
    """Header lines with one header set to one value."""
    prefix = name.lower() + b":"
    return [*without(lines, prefix), name + b": " + value]


def without(lines: Iterable[bytes], *prefixes: bytes) -> list[bytes]:
    """Header lines without those that begin with these names, given in lower case with their colon."""
    return [line for line in lines if not line.lower().startswith(prefixes)]


def credential(headers: Mapping[str, str]) -> str | None:
    """The caller's key, from `Authorization: Bearer` or `x-api-key`; None where it is missing or
    malformed. It is used to derive a masked label and goes nowhere else."""
    authorization = headers.get("Authorization")
    if authorization is None:
        return headers.get("x-api-key") or headers.get("api-key") or None
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    return key if scheme.lower() == "bearer" and key and " " not in key else None


MAX_NAME = 100
"""Characters of a project's or a trace's name that are kept."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def session_id(headers: Mapping[str, str]) -> str | None:
    """The conversation that a request belongs to: Codex' names for it, Claude Code's and others'."""
    get = headers.get
    return (
        get("session_id")
        or get("session-id")
        or get("x-session-id")
        or get("x-claude-code-session-id")
        or get("conversation_id")
        or None
    )


def project(headers: Mapping[str, str], names: Iterable[str]) -> str | None:
    """The project that a request belongs to, by the first of these headers that is there."""
    for header in names:
        if (value := headers.get(header)) and (name := _name(value)):
            return name
    return None


def trace_id(headers: Mapping[str, str], names: Iterable[str]) -> str | None:
    """The trace that a request belongs to; of a `traceparent` (W3C Trace Context) its trace id."""
    for header in names:
        value = headers.get(header)
        value = value and _name(value)
        if value and header.lower() == "traceparent":
            match = _TRACEPARENT.fullmatch(value)
            value = match[1] if match and set(match[1]) != {"0"} else None
        if value:
            return value
    return None


def _name(value: str) -> str | None:
    printable = "".join(c if c.isprintable() else " " for c in value[:MAX_NAME])
    return printable.strip() or None
