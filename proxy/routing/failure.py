"""What a failed attempt says of its account, and how long the account then rests. Pure; times are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from ledger.requests.error_codes import CREDENTIAL_IS_GOOD, PERMANENT, effect
from proxy.metering.quota import MAX_RESET
from proxy.metering.usage import UNREADABLE, Report
from proxy.routing.error_text import is_too_large, named_model, retry_after

FIRST = 0.2
JITTER = 0.1
LONG_AFTER = 3
"""Failures in a row after which an account is not just unlucky."""

LONG_FIRST = 30.0
LONGEST = 300.0


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


Event = Literal["rate_limit", "quota_exceeded", "permanent_failure", "error"]
EVENTS: tuple[Event, ...] = ("rate_limit", "quota_exceeded", "permanent_failure", "error")

_OF_THE_REQUEST = frozenset({400, 404, 405, 409, 410, 411, 413, 414, 415, 416, 422, 431})
_OF_THE_CREDENTIAL = ("invalid_api_key", "invalid_credential")
MAX_BODY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed.

    Attributes:
        http_status: of the answer; 0 where none came.
        code: the provider's code, or ours (`upstream_timeout`, ...).
        headers: of the answer, by case-insensitive or lower-case names.
        resets_at: epoch seconds at which a spent quota is reset, where the answer says so.
        can_refresh: the credential is a login whose token can be refreshed.
        model: that was asked for, where it is known.
    """

    http_status: int
    code: str | None = None
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    resets_at: int | None = None
    can_refresh: bool = False
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failure means for the account; in every case another account may be tried.

    Attributes:
        status: that the account gets for good; None where the failure passes.
        retry_after: seconds for which it is to be left alone, where the provider says so.
        resets_at: epoch seconds at which its quota is reset, where the provider says so.
        refresh: its token may just be too old: refresh it, and judge again by how that goes.
        model: the only model for which the account is limited; None: whatever it is asked for.
        marks: whether it says anything of other requests; a request beyond what the account's limit can ever
            take does not, though another account's limit may.
    """

    event: Event
    code: str
    status: str | None = None
    retry_after: float | None = None
    resets_at: int | None = None
    refresh: bool = False
    model: str | None = None
    marks: bool = True


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
    does = effect(code)
    if code in PERMANENT and not (code in _OF_THE_CREDENTIAL and failure.can_refresh):
        return Verdict("permanent_failure", code, PERMANENT[code])
    if (does == "spent" or status == 402) and not is_too_large(failure.message):
        wait = retry_after(failure.message, failure.headers, now)
        return Verdict("quota_exceeded", code or "quota_exceeded", None, wait, failure.resets_at)
    if does in ("rests", "spent") or status == 402 or (status == 429 and does != "none"):
        return _rate_limit(failure, now)
    if status == 401 and failure.can_refresh:
        return Verdict("error", code or "invalid_credential", refresh=True)
    if status == 401 and code not in CREDENTIAL_IS_GOOD:
        return Verdict("permanent_failure", "invalid_credential", PERMANENT["invalid_credential"])
    if status in _OF_THE_REQUEST or does == "none":
        return None
    wait = retry_after(None, failure.headers, now)
    return Verdict("error", code or (f"http_{status}" if status else "unknown"), retry_after=wait)


def _rate_limit(failure: Failure, now: float) -> Verdict:
    code = failure.code or "rate_limit_exceeded"
    if is_too_large(failure.message):
        return Verdict("rate_limit", code, marks=False)
    wait = retry_after(failure.message, failure.headers, now)
    return Verdict("rate_limit", code, retry_after=wait, model=named_model(failure.message, failure.model))


def read_failure(
    http_status: int,
    headers: Mapping[str, str],
    body: bytes,
    now: float,
    *,
    can_refresh: bool = False,
    model: str | None = None,
) -> Failure:
    """A failure as an error answer tells it.

    Args:
        body: decoded; one that is no error document only leaves the rest unknown.
        now: epoch seconds.
        model: that was asked for.
    """
    try:
        error = _bodies.decode(body[:MAX_BODY]).error or _Error()
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
        model=model,
    )


def told_failure(code: str, report: Report, now: float, model: str | None = None) -> Failure:
    """A failure as a stream tells it after it began well.

    Args:
        code: of the error; ours where the stream just broke off.
        report: what the stream said.
        now: epoch seconds.
        model: that was asked for.
    """
    resets_at = _resets_at(report.resets_at, report.resets_in, now)
    return Failure(200, code, report.error_message, resets_at=resets_at, model=model)


def _is_known(code: str) -> bool:
    return effect(code) not in ("unclear", "none")


def _resets_at(moment: Any, seconds: Any, now: float) -> int | None:
    found = moment if _plain(moment) else now + seconds if _plain(seconds) else None
    return int(found) if found is not None and found <= now + MAX_RESET else None


def _plain(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e11
