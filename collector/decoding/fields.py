"""Reading fields of a document whose maker may have another idea of their types. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

_JSON: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
MAX_COUNT = 1 << 40
"""Tokens of one request that are believed."""

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|z|[+-]\d\d:\d\d)?", re.ASCII
)


class Undecodable(Exception):
    """The item is none that this version knows; the text says what is missing or wrong."""


def parsed(raw: bytes) -> Any:
    """A JSON document. What the quick parser refuses (half a surrogate, NaN), the other may take.

    Raises: ValueError, RecursionError.
    """
    try:
        return _JSON.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return json.loads(raw)


def table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object within an object; an empty one where there is none."""
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def text(document: Mapping[str, Any], name: str) -> str | None:
    """A text that says something, else None."""
    found = document.get(name)
    return found.strip() or None if isinstance(found, str) else None


def flag(document: Mapping[str, Any], name: str) -> bool | None:
    """True or false where the field says so, else None."""
    found = document.get(name)
    return found if isinstance(found, bool) else None


def count(document: Mapping[str, Any], name: str) -> int | None:
    """A whole number that can be a number of tokens, else None."""
    found = document.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    if isinstance(found, float) and not found.is_integer():  # NaN and infinity are no integers either
        return None
    return int(found) if 0 <= found <= MAX_COUNT else None


def number(document: Mapping[str, Any], name: str) -> float | None:
    """A number from 0 up, else None."""
    found = document.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if 0 <= found < 1e15 else None


def moment(value: object) -> datetime | None:
    """A time as RFC 3339 says it, with up to nine digits of a second; aware UTC. None where it is none."""
    found = _RFC3339.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    day, clock, fraction, zone = found.groups()
    micros = (fraction or "").ljust(6, "0")[:6]
    offset = "+00:00" if zone in (None, "Z", "z") else zone
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{micros}{offset}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
