"""Bounded label values: what callers choose must not mint series without end."""

from __future__ import annotations

from collections.abc import Iterable

OTHER = "other"

MOST_LENGTH = 100
"""Characters of a label value: what is longer is no name."""


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
        if self._room <= 0 or len(value) > MOST_LENGTH:
            return OTHER
        self._room -= 1
        # Header bytes that are no UTF-8 come as lone surrogates, which no exposition can write.
        label = value.encode("utf-8", "replace").decode("utf-8")
        self._values[value] = label
        return label
