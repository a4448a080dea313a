"""What a failed attempt says of its account, and how long the account then rests. Pure; times are seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import msgspec

from proxy.metering.quota import MOST_RESET
from proxy.metering.usage import UNREADABLE, Report

FIRST = 0.2
JITTER = 0.1
LONG_AFTER = 3
"""Failures in a row after which an account is not just unlucky."""

LONG_FIRST = 30.0
LONGEST = 300.0
MOST_WAIT = 7 * 86_400.0
"""A longer wait that a provider asks for is not believed."""

_AGAIN = re.compile(
    r"(?i)\b(?:try again|retry)\s+(?:in|after)\s+((?:\d+(?:\.\d+)?\s*[a-z]+[\s,]*(?:and\s+)?)+)"
)
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]+)")
_UNITS = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3_600.0),
    **dict.fromkeys(("d", "day", "days"), 86_400.0),
}


def backoff(failures: int, draw: float) -> float:
    """The pause after so many rate limits in a row that came without a hint, 10 % more or less.

    Args:
        failures: 1 for the first.
        draw: from 0 to 1; 0.5 gives the middle.
    """
    return min(LONGEST, FIRST * 2.0 ** min(failures - 1, 30)) * (1 + JITTER * (2 * draw - 1))


def error_pause(failures: int, draw: float) -> float:
    """The pause after so many errors in a row: short at first, then half a minute, doubling."""
    if failures < LONG_AFTER:
        return backoff(failures, draw)
    return min(LONGEST, LONG_FIRST * 2.0 ** min(failures - LONG_AFTER, 30))


def retry_after(message: str | None, headers: Mapping[str, str], now: float) -> float | None:
    """How long the provider asks us to wait; None where it does not say.

    Args:
        message: like "Rate limit reached. Please try again in 1m2.5s."
        headers: of the answer, with lower-case or case-insensitive names.
        now: epoch seconds, for a date in Retry-After.
    """
    for seconds in (_from_message(message), _from_headers(headers, now)):
        if seconds is not None and 0 <= seconds <= MOST_WAIT:
            return seconds
    return None


def _from_message(message: str | None) -> float | None:
    found = _AGAIN.search((message or "")[:4_096])
    if found is None:
        return None
    parts = _PART.findall(found[1])
    known = [float(number) * _UNITS[unit.lower()] for number, unit in parts if unit.lower() in _UNITS]
    return sum(known) if known else None


def _from_headers(headers: Mapping[str, str], now: float) -> float | None:
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1_000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or not text:
        return seconds
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.fromtimestamp(now, UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


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
