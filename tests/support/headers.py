"""Headers as aiohttp's parser hands them over: as bytes, and by name."""

from __future__ import annotations

from collections.abc import Iterable

from multidict import CIMultiDict


def by_name(raw: Iterable[tuple[bytes, bytes]]) -> CIMultiDict[str]:
    """The same headers by name."""
    return CIMultiDict([(_text(name), _text(value)) for name, value in raw])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
