"""What is decided by a name alone, kept: the same few names come with every request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

K = TypeVar("K", str, bytes)
V = TypeVar("V")

MAX_NAMES = 2048
"""Names that are kept; whoever sends others without end gets no more of the memory."""

MAX_LENGTH = 256
"""Characters of a name that is kept: a header's may have thousands, and so many of those fill 100 MB."""


class Names(dict[K, V], Generic[K, V]):
    """By name what a function says of it, asked once for each. `names[name]` costs no call."""

    def __init__(self, decide: Callable[[K], V]) -> None:
        super().__init__()
        self._decide: Callable[[K], V] = decide

    def __missing__(self, name: K) -> V:
        if len(self) >= MAX_NAMES:
            self.clear()
        found = self._decide(name)
        if len(name) <= MAX_LENGTH:
            self[name] = found
        return found


def is_only(kind: object, kinds: Callable[[str], object], headers: Mapping[str, str]) -> bool:
    """Whether one header alone is of any kind at all, and of this one: so it is with most requests.

    Args:
        kinds: by a name the kind of its header; None for no kind.
        headers: whose keys name a repeated header once, and whose length counts it as often as it stands.
    """
    found = list(map(kinds, headers.keys()))
    return len(headers) - found.count(None) == found.count(kind) == 1
