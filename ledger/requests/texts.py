"""Text as every store takes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal

from ledger.pricing.counts import sensible


def cut(text: str | None, most: int) -> str | None:
    """Bounded, valid UTF-8, without NUL. Callers choose these words."""
    if text is None or (len(text) <= most and text.isascii() and "\0" not in text):
        return text
    return text[:most].encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def units_text(units: Mapping[str, Decimal] | None) -> str | None:
    """A JSON object whose numbers are those of the Decimals, digit by digit; what is no count is left out."""
    found = {name: number for name, number in sorted((units or {}).items()) if sensible(number)}
    return "{" + ", ".join(f"{json.dumps(name)}: {n:f}" for name, n in found.items()) + "}" if found else None


def units_of(text: str | None) -> Mapping[str, Decimal] | None:
    """The units of such a text."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal) if text else None
