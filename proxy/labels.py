"""Bounded label values: what callers choose must not mint series without end."""

from __future__ import annotations

from collections.abc import Iterable

OTHER = "other"


class BoundedLabel:
    """Lets known values through, then new ones up to a cap, then answers `other`.

    Args:
        most: how many values beyond the known ones get a series of their own.
    """

    def __init__(self, most: int, known: Iterable[str] = ()) -> None:
        self._values = {value: value for value in known}
        self._room = most

    def __call__(self, value: str) -> str:
        found = self._values.get(value)
        if found is not None:
            return found
        if self._room <= 0:
            return OTHER
        self._room -= 1
        self._values[value] = value
        return value
