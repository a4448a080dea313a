"""Which headers travel on. Pure; order, case and repetition of the rest stay as they came."""

from __future__ import annotations

from collections.abc import Mapping

from multidict import CIMultiDict, MultiMapping

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""RFC 9110, 7.6.1: they speak of one connection, not of the message."""

_REQUEST_DROPS = HOP_BY_HOP | {"host", "content-length", "expect"}
"""The client library writes Host and Content-Length itself; Expect was answered here."""


def request_headers(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """The client's headers as they go upstream."""
    return _without(headers, _REQUEST_DROPS)


def response_headers(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """The provider's headers as they go to the client."""
    return _without(headers, HOP_BY_HOP)


def _without(headers: MultiMapping[str], drops: frozenset[str]) -> CIMultiDict[str]:
    named = headers.getall("Connection", ())
    if named:
        drops = drops | {name.strip().lower() for value in named for name in value.split(",")}
    return CIMultiDict([(k, v) for k, v in headers.items() if k.lower() not in drops])


def credential(headers: Mapping[str, str]) -> str | None:
    """The caller's key, from `Authorization: Bearer` or `x-api-key`; None where it is missing or
    malformed. It is used to derive a masked label and goes nowhere else."""
    authorization = headers.get("Authorization")
    if authorization is None:
        return headers.get("x-api-key") or headers.get("api-key") or None
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    return key if scheme.lower() == "bearer" and key and " " not in key else None


def session_id(headers: Mapping[str, str]) -> str | None:
    """The conversation that a request belongs to, as Codex and others name it."""
    for name in ("session_id", "session-id", "x-session-id", "conversation_id"):
        value = headers.get(name)
        if value:
            return value
    return None
