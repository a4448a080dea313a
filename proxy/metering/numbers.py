"""Numbers as providers write them: what makes no sense is left out, and counted. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

MAX_TOKENS = 1_000_000_000
"""More than any model takes or gives at once: a larger count is nonsense."""

MAX_UNITS = Decimal(1_000_000_000)
"""Seconds, characters, pages, searches of one request."""

MAX_USD = Decimal(1_000_000)


MAX_SECONDS = 2**48
"""Of a moment that an error names."""


class Numbers:
    """Reads the numbers of one document.

    Attributes:
        nonsense: how many of them were negative, no number, no whole number, or beyond all measure.
    """

    __slots__ = ("nonsense",)

    def __init__(self) -> None:
        self.nonsense = 0

    def count(self, value: object) -> int | None:
        """A token count; some write 100.0."""
        kind = type(value)
        if value is None:
            return None
        if kind is int and 0 <= value <= MAX_TOKENS:  # type: ignore[operator]
            return value  # type: ignore[return-value]
        if kind is float and 0 <= value <= MAX_TOKENS and value.is_integer():  # type: ignore[operator, attr-defined]
            return int(value)  # type: ignore[call-overload, no-any-return]
        self.nonsense += 1
        return None

    def first(self, *values: object) -> int | None:
        """The first count that is more than 0; several names may stand side by side, some of them empty."""
        found: int | None = None
        for value in values:
            if value is not None:
                count = self.count(value)
                if count:
                    return count
                found = count if found is None else found
        return found

    def units(self, value: object) -> Decimal | None:
        """A quantity of something else that is billed; None also for 0."""
        return self._decimal(value, MAX_UNITS) or None

    def usd(self, value: object, parts: Decimal = Decimal(1)) -> Decimal | None:
        """An amount in US dollars; `parts`: of what it is counted in, how many are one dollar."""
        if value is None:
            return None
        found = self._decimal(value, MAX_USD * parts)
        return None if found is None else found / parts

    def _decimal(self, value: object, most: Decimal) -> Decimal | None:
        if value is None:
            return None
        if type(value) is int or type(value) is float:
            found = Decimal(str(value))
            if found.is_finite() and 0 <= found <= most:
                return found
        self.nonsense += 1
        return None


def get(value: object, *keys: str) -> Any:
    """A member of nested objects; None where there is none."""
    for key in keys:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def fields(value: object) -> Mapping[str, Any]:
    """An object's members; none for anything else."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str | None:
    """A text that is not empty."""
    return value if isinstance(value, str) and value else None


def epoch_seconds(value: object) -> float | None:
    """A moment, or a time; None for what can be neither."""
    return float(value) if type(value) in (int, float) and 0 < value < MAX_SECONDS else None  # type: ignore[operator, arg-type]


def storable(value: Any) -> Any:
    """The same with all texts as they can be stored."""
    if isinstance(value, dict):
        return {storable(name): storable(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return list(map(storable, value))
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
