"""Classes of errors: few, stable, fit for a label. Pure."""

from __future__ import annotations

from typing import Literal

ErrorClass = Literal["rate_limit", "quota", "auth", "invalid_request", "upstream", "internal", "unknown"]
ERROR_CLASSES: tuple[ErrorClass, ...] = (
    "rate_limit",
    "quota",
    "auth",
    "invalid_request",
    "upstream",
    "internal",
    "unknown",
)

_QUOTA = frozenset(
    {"usage_limit_reached", "insufficient_quota", "usage_not_included", "quota_exceeded", "budget_exceeded"}
)
_RATE = frozenset({"rate_limit_exceeded", "rate_limit_error", "slow_down", "too_many_requests"})
_AUTH = frozenset(
    {
        "invalid_api_key",
        "authentication_error",
        "invalid_credential",
        "permission_error",
        "refresh_token_expired",
        "refresh_token_reused",
        "refresh_token_invalidated",
        "account_suspended",
        "account_deleted",
        "account_deactivated",
    }
)
_OWN = frozenset({"internal_error", "shutting_down", "too_many_requests_in_flight"})
_NO_ACCOUNT = "no_account"
_REASONS: dict[str, ErrorClass] = {
    "_rate_limited": "rate_limit",
    "_quota_exceeded": "quota",
    "_auth": "auth",
    "_paused_or_auth": "auth",
}
"""Why no account could take a request; for any other reason it is our own affair."""

_REFUSED = (
    "invalid_header",
    "invalid_json",
    "invalid_path",
    "request_timeout",
    "request_too_large",
)

KNOWN_CODES = (
    *sorted(_QUOTA | _RATE | _AUTH | _OWN),
    *_REFUSED,
    "server_error",
    "overloaded_error",
    "model_not_found",
    "context_length_exceeded",
    "invalid_request_error",
    "upstream_unreachable",
    "upstream_timeout",
    "upstream_broken",
)
"""Error codes that keep their own label value whatever else is seen."""


def error_class(code: str | None, http_status: int) -> ErrorClass:
    """The class of a failed request; its code decides, its HTTP status where the code says nothing."""
    code = code or ""
    if code.startswith(_NO_ACCOUNT):
        return _REASONS.get(code.removeprefix(_NO_ACCOUNT), "internal")
    if code in _QUOTA:
        return "quota"
    if code in _RATE:
        return "rate_limit"
    if code in _AUTH or http_status in (401, 403):
        return "auth"
    if code in _OWN:
        return "internal"
    if code.startswith("upstream_") or http_status >= 500 or code in ("server_error", "overloaded_error"):
        return "upstream"
    if http_status == 429:
        return "rate_limit"
    return "invalid_request" if 400 <= http_status < 500 else "unknown"
