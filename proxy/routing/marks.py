"""What a failed attempt says of the account that made it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from proxy.quota import MOST_RESET
from proxy.routing.cooldown import retry_after
from proxy.usage import UNREADABLE, Report

Event = Literal["rate_limit", "quota_exceeded", "permanent_failure", "error"]
EVENTS: tuple[Event, ...] = ("rate_limit", "quota_exceeded", "permanent_failure", "error")

_RATE = frozenset({"rate_limit_exceeded", "rate_limit_error", "too_many_requests", "slow_down"})
_QUOTA = frozenset({"usage_limit_reached", "insufficient_quota", "usage_not_included", "quota_exceeded"})
PERMANENT: Mapping[str, str] = {
    "refresh_token_expired": "reauth_required",
    "refresh_token_reused": "reauth_required",
    "refresh_token_invalidated": "reauth_required",
    "invalid_api_key": "reauth_required",
    "invalid_credential": "reauth_required",
    "account_suspended": "deactivated",
    "account_deleted": "deactivated",
    "account_deactivated": "deactivated",
}
"""Codes of failures that do not pass by themselves, and the status that they lead to. `invalid_credential`
is ours, for a 401 that gives no such code."""

_OF_THE_CALLER = frozenset(
    {
        "content_policy_violation",
        "context_length_exceeded",
        "empty_image_file",
        "image_parse_error",
        "image_too_large",
        "invalid_image",
        "invalid_image_format",
        "invalid_image_url",
        "invalid_prompt",
        "invalid_request",
        "invalid_request_error",
        "invalid_type",
        "invalid_value",
        "missing_required_parameter",
        "model_not_found",
        "previous_response_not_found",
        "string_above_max_length",
        "unknown_parameter",
        "unsupported_parameter",
        "unsupported_value",
    }
)
"""Codes by which the request itself is at fault."""

_NOT_OF_THE_KEY = frozenset(
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

_OF_THE_REQUEST = frozenset({400, 404, 405, 409, 410, 411, 413, 414, 415, 416, 422, 431})
MOST_BODY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed.

    Attributes:
        http_status: of the answer; 0 where none came.
        code: the provider's code, or ours (`upstream_timeout`, ...).
        headers: of the answer, by case-insensitive or lower-case names.
        resets_at: epoch seconds at which a spent quota is given anew, where the answer says so.
        can_refresh: the credential is a login whose token can be had anew.
    """

    http_status: int
    code: str | None = None
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    resets_at: int | None = None
    can_refresh: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failure means for the account; in every case another account may be tried.

    Attributes:
        status: that the account gets for good; None where the failure passes.
        retry_after: seconds for which it is to be left alone, where the provider says so.
        resets_at: epoch seconds at which its quota is given anew, where the provider says so.
        refresh: its token may just be too old: refresh it, and judge again by how that goes.
    """

    event: Event
    code: str
    status: str | None = None
    retry_after: float | None = None
    resets_at: int | None = None
    refresh: bool = False


class _Error(msgspec.Struct):
    code: Any = None
    type: Any = None
    message: Any = None
    resets_at: Any = None
    resets_in_seconds: Any = None


class _Body(msgspec.Struct):
    error: _Error | None = None


_bodies = msgspec.json.Decoder(_Body)


def classify(failure: Failure, now: float) -> Verdict | None:
    """What a failure says of the account; None where the request itself is at fault, and would fail
    with every account.

    Args:
        now: epoch seconds.
    """
    code, status = failure.code or "", failure.http_status
    if code in PERMANENT and not (code in ("invalid_api_key", "invalid_credential") and failure.can_refresh):
        return Verdict("permanent_failure", code, PERMANENT[code])
    if code in _QUOTA or status == 402:
        wait = retry_after(failure.message, failure.headers, now)
        return Verdict("quota_exceeded", code or "quota_exceeded", None, wait, failure.resets_at)
    if code in _RATE or status == 429:
        wait = retry_after(failure.message, failure.headers, now)
        return Verdict("rate_limit", code or "rate_limit_exceeded", retry_after=wait)
    if status == 401 and failure.can_refresh:
        return Verdict("error", code or "invalid_credential", refresh=True)
    if status == 401 and code not in _NOT_OF_THE_KEY:
        return Verdict("permanent_failure", "invalid_credential", PERMANENT["invalid_credential"])
    if status in _OF_THE_REQUEST or code in _OF_THE_CALLER:
        return None
    wait = retry_after(None, failure.headers, now)
    return Verdict("error", code or (f"http_{status}" if status else "unknown"), retry_after=wait)


def read_failure(
    http_status: int, headers: Mapping[str, str], body: bytes, now: float, *, can_refresh: bool = False
) -> Failure:
    """A failure as an error answer tells it.

    Args:
        body: decoded; one that is no error document only leaves the rest unknown.
        now: epoch seconds.
    """
    try:
        error = _bodies.decode(body[:MOST_BODY]).error or _Error()
    except UNREADABLE:
        error = _Error()
    text = next((t for t in (error.code, error.type) if isinstance(t, str) and t), None)
    known = next((t for t in (error.code, error.type) if isinstance(t, str) and _is_known(t)), text)
    return Failure(
        http_status=http_status,
        code=known,
        message=error.message if isinstance(error.message, str) else None,
        headers=headers,
        resets_at=_resets_at(error.resets_at, error.resets_in_seconds, now),
        can_refresh=can_refresh,
    )


def told_failure(code: str, report: Report, now: float) -> Failure:
    """A failure as a stream tells it after it began well.

    Args:
        code: of the error; ours where the stream just broke off.
        report: what the stream said.
        now: epoch seconds.
    """
    resets_at = _resets_at(report.resets_at, report.resets_in, now)
    return Failure(200, code, report.error_message, resets_at=resets_at)


def _is_known(code: str) -> bool:
    return code in PERMANENT or code in _QUOTA or code in _RATE


def _resets_at(moment: Any, seconds: Any, now: float) -> int | None:
    found = moment if _plain(moment) else now + seconds if _plain(seconds) else None
    return int(found) if found is not None and found <= now + MOST_RESET else None


def _plain(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e11
