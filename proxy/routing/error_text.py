"""What an error's text and headers say of a limit: how long to wait, which model it is for, and whether the
request alone is more than it. Pure; times are seconds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_TEXT = 4_096
MAX_WAIT = 7 * 86_400.0
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


_LIMIT = re.compile(
    r"(?i)\blimit:?\s*(?P<limit>\d[\d,_]*(?:\.\d+)?).{0,200}?\brequested:?\s*(?P<requested>\d[\d,_]*(?:\.\d+)?)"
)
"""'... on tokens per min (TPM): Limit 30000, Used 9000, Requested 50000.'"""

_TOO_LARGE = re.compile(
    r"(?i)\brequest (?:is )?too large\b|\bcan only afford [1-9]|\brequired for long context requests?\b"
)
"""A smaller request would be taken: by the limit's words, by OpenRouter's, by Anthropic's."""

_MODEL = re.compile(r"(?i)(?:\bfor(?:\s+model)?|\bmodel:?|\bof)\s+[`'\"]?([a-z0-9][a-z0-9._:/-]{1,99})")
"""'Rate limit reached for gpt-4o in organization ...', '... for model `x`', '(org: ..., model: x)'."""


def retry_after(message: str | None, headers: Mapping[str, str], now: float) -> float | None:
    """How long the provider asks us to wait; None where it does not say.

    Args:
        message: like "Rate limit reached. Please try again in 1m2.5s."
        headers: of the answer, with lower-case or case-insensitive names.
        now: epoch seconds, for a date in Retry-After.
    """
    for seconds in (_from_message(message), _from_headers(headers, now)):
        if seconds is not None and 0 <= seconds <= MAX_WAIT:
            return seconds
    return None


def _from_message(message: str | None) -> float | None:
    found = _AGAIN.search((message or "")[:MAX_TEXT])
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


def is_too_large(message: str | None) -> bool:
    """Whether a rate limit is met by this request alone: it asks for more than the limit ever has, so the
    account is as well as before."""
    text = (message or "")[:MAX_TEXT]
    found = _LIMIT.search(text)
    if found is not None and _amount(found["requested"]) > _amount(found["limit"]):
        return True
    return found is None and _TOO_LARGE.search(text) is not None


def named_model(message: str | None, model: str | None) -> str | None:
    """The model that was asked for, where a rate limit's text names it (or its family, or its dated release):
    then the limit is the model's, and says nothing of the account's others."""
    if not model:
        return None
    asked = model.lower()
    for found in _MODEL.finditer((message or "")[:MAX_TEXT]):
        named = found[1].lower().rstrip(".")
        if named == asked or asked.startswith(f"{named}-") or named.startswith(f"{asked}-"):
            return model
        if asked.rpartition("/")[2] == named:
            return model
    return None


def _amount(digits: str) -> float:
    return float(digits.replace(",", "").replace("_", ""))
