"""What a failed request met with: a code, a class, and a text without secrets. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ledger.privacy import safe_code, safe_message
from ledger.requests.error_codes import ErrorClass, error_class

CLIENT_GONE = 499
CANCELED = "context canceled"
"""How gateways say that the client went away: as a status, and in words."""

_CUT = "upstream_broken"
_CUT_WORDS = ("unexpected eof", '": eof', "stream disconnected", "connection reset", "broken pipe")
_UNREACHABLE = "upstream_unreachable"
_TIMEOUT = "upstream_timeout"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request failed, fit for the ledger."""

    code: str
    kind: ErrorClass
    message: str | None


def failure_of(status: int, body: str | None, code: str | None = None) -> Failure:
    """What the gateway says of a failure.

    Args:
        status: of the answer; 200 where it broke off after it had begun.
        body: the provider's error document, or the gateway's own words.
        code: what the gateway makes of it, where it says so: it counts where the provider's own says nothing.
    """
    error = _error(body)
    message = safe_message(error.get("message") if error else body)
    found = _text(error.get("code")) or _text(error.get("type")) or _by_words(status, body)
    if code and found == f"http_{status}":
        found = code
    found = safe_code(found) or f"http_{status}"
    return Failure(found, error_class(found, status), message)


def _error(body: str | None) -> dict[str, Any]:
    """The error object of a provider's document; empty where the body is none."""
    if not body or body[0] not in "{[":
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        return {}
    error = document.get("error", document.get("detail", document))
    return error if isinstance(error, dict) else {"message": error}


def _text(value: object) -> str | None:
    """A code as text; Google gives numbers, which say no more than the status."""
    return value or None if isinstance(value, str) else None


def _by_words(status: int, body: str | None) -> str:
    words = (body or "").casefold()
    if status == 200 or any(said in words for said in _CUT_WORDS):
        return _CUT
    if "deadline exceeded" in words or "timeout" in words:
        return _TIMEOUT
    if "dial tcp" in words or "connection refused" in words or "no such host" in words:
        return _UNREACHABLE
    if status == 429:
        return "rate_limit_exceeded"
    return _CUT if status == 502 else f"http_{status}"
