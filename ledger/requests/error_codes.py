"""Error codes of providers, and ours: one table of what each is and what it does to an account. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

ErrorClass = Literal["rate_limit", "quota", "auth", "invalid_request", "upstream", "internal", "unknown"]
"""Classes of errors: few, stable, fit for a label."""

ERROR_CLASSES: tuple[ErrorClass, ...] = (
    "rate_limit",
    "quota",
    "auth",
    "invalid_request",
    "upstream",
    "internal",
    "unknown",
)

Effect = Literal["rests", "spent", "reauth_required", "deactivated", "none", "unclear"]
"""What an error does to the account that met with it: it rests a while; its quota is spent; it needs a new
credential; it is out for good; nothing, as the request itself is at fault; or the HTTP status decides."""


class ErrorCode(NamedTuple):
    """What is known of a code.

    Attributes:
        labelled: it keeps its own label value whatever else is seen.
    """

    kind: ErrorClass
    effect: Effect = "unclear"
    labelled: bool = True


_RATE = ErrorCode("rate_limit", "rests")
_QUOTA = ErrorCode("quota", "spent")
_REAUTH = ErrorCode("auth", "reauth_required")
_DEACTIVATED = ErrorCode("auth", "deactivated")
_REQUEST = ErrorCode("invalid_request", "none", labelled=False)
_UPSTREAM = ErrorCode("upstream")

CODES: Mapping[str, ErrorCode] = {
    "rate_limit_error": _RATE,
    "rate_limit_exceeded": _RATE,
    "slow_down": _RATE,
    "too_many_requests": _RATE,
    "insufficient_quota": _QUOTA,
    "quota_exceeded": _QUOTA,
    "usage_limit_reached": _QUOTA,
    "usage_not_included": _QUOTA,
    "invalid_api_key": _REAUTH,
    "invalid_credential": _REAUTH,  # ours, for a 401 that gives no such code
    "refresh_token_expired": _REAUTH,
    "refresh_token_invalidated": _REAUTH,
    "refresh_token_reused": _REAUTH,
    "account_deactivated": _DEACTIVATED,
    "account_deleted": _DEACTIVATED,
    "account_suspended": _DEACTIVATED,
    "authentication_error": ErrorCode("auth"),
    "permission_error": ErrorCode("auth"),
    **dict.fromkeys(
        (
            "content_policy_violation",
            "empty_image_file",
            "image_parse_error",
            "image_too_large",
            "invalid_image",
            "invalid_image_format",
            "invalid_image_url",
            "invalid_prompt",
            "invalid_request",
            "invalid_type",
            "invalid_value",
            "missing_required_parameter",
            "previous_response_not_found",
            "string_above_max_length",
            "unknown_parameter",
            "unsupported_parameter",
            "unsupported_value",
        ),
        _REQUEST,
    ),
    "context_length_exceeded": _REQUEST._replace(labelled=True),
    "invalid_request_error": _REQUEST._replace(labelled=True),
    "model_not_found": _REQUEST._replace(labelled=True),
    "overloaded_error": _UPSTREAM,
    "server_error": _UPSTREAM,
    # Ours, from here on.
    "upstream_broken": _UPSTREAM,
    "upstream_timeout": _UPSTREAM,
    "upstream_unreachable": _UPSTREAM,
    "budget_exceeded": ErrorCode("quota", "none"),
    "invalid_header": _REQUEST._replace(labelled=True),
    "invalid_json": _REQUEST._replace(labelled=True),
    "invalid_path": _REQUEST._replace(labelled=True),
    "request_timeout": ErrorCode("invalid_request"),
    "request_too_large": _REQUEST._replace(labelled=True),
    "internal_error": ErrorCode("internal"),
    "shutting_down": ErrorCode("internal"),
    "too_many_requests_in_flight": ErrorCode("internal"),
}

KNOWN_CODES = tuple(code for code, known in CODES.items() if known.labelled)
"""Error codes that keep their own label value whatever else is seen."""

PERMANENT: Mapping[str, str] = {
    code: known.effect for code, known in CODES.items() if known.effect in ("reauth_required", "deactivated")
}
"""Codes of failures that do not pass by themselves, and the status that they lead to."""

CREDENTIAL_IS_GOOD = frozenset(
    {
        "insufficient_permissions",
        "ip_not_authorized",
        "mismatched_organization",
        "mismatched_project",
        "missing_scope",
        "missing_scopes",
        "unsupported_country_region_territory",
    }
)
"""What a 401 says where the credential itself is good: one such request must not end an account."""

_NO_ACCOUNT = "no_account"
_REASONS: Mapping[str, ErrorClass] = {
    "_rate_limited": "rate_limit",
    "_quota_exceeded": "quota",
    "_auth": "auth",
    "_paused_or_auth": "auth",
}
"""Why no account could take a request; for any other reason it is our own affair."""


def error_class(code: str | None, http_status: int) -> ErrorClass:
    """The class of a failed request; its code decides, its HTTP status where the code says nothing."""
    code = code or ""
    if code.startswith(_NO_ACCOUNT):
        return _REASONS.get(code.removeprefix(_NO_ACCOUNT), "internal")
    known = CODES.get(code)
    if known is not None and known.kind != "invalid_request":
        return known.kind
    if http_status in (401, 403):
        return "auth"
    if code.startswith("upstream_") or http_status >= 500:
        return "upstream"
    if http_status == 429:
        return "rate_limit"
    return "invalid_request" if known is not None or 400 <= http_status < 500 else "unknown"


def effect(code: str | None) -> Effect:
    """What an error with this code does to an account."""
    known = CODES.get(code or "")
    return "unclear" if known is None else known.effect
