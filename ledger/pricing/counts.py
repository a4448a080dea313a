"""What is billed of a request, or of many that are priced alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from operator import add, attrgetter

from ledger.values import Usage

UNITS = {
    "web_search": "web_searches",
    "file_search": "file_searches",
    "characters": "characters",
    "pages": "pages",
}
"""Names in `extra_units`, and the count that each adds to; `audio_seconds` goes to `audio_ms`."""

INSTEAD_OF_TOKENS = ("audio_seconds", "characters", "pages")
"""What some requests are billed by alone; searches are billed beside tokens."""

_OTHERS = (
    *("cache_write_tokens", "cache_write_1h_tokens", "audio_input_tokens", "audio_output_tokens"),
    *("image_input_tokens", "image_output_tokens"),
)
_others_of = attrgetter(*_OTHERS)
_NONE = (None,) * len(_OTHERS)
_NO_UNITS = (0,) * (len(UNITS) + 1)

_NOTHING_ELSE = (0,) * (4 + len(_NO_UNITS))

MAX_UNITS = 10**12
"""A count beyond it is a mistake, and adds nothing."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Billed counts.

    Attributes:
        input: all input tokens. `cached_input`, `cache_write` (for five minutes, or not told apart),
            `cache_write_1h`, `audio_input` and `image_input` are parts of it that do not overlap.
        output: all output tokens. `audio_output` and `image_output` are parts of it that do not overlap.
        audio_ms: milliseconds of audio that is billed by its length.
    """

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    output: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    web_searches: int = 0
    file_searches: int = 0
    characters: int = 0
    pages: int = 0
    audio_ms: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(add, _all_of(self), _all_of(other)))


_all_of = attrgetter(*Counts.__dataclass_fields__)


def is_metered(usage: Usage, extra_units: Mapping[str, Decimal] | None = None) -> bool:
    """Whether it was reported what a request used: tokens, or something else that is billed."""
    if usage.input_tokens is not None and usage.billed_output is not None:
        return True
    return any(name in INSTEAD_OF_TOKENS for name in extra_units or ())


def counts_of(usage: Usage, extra_units: Mapping[str, Decimal] | None = None) -> Counts:
    """The counts of one request. A part that is larger than what contains it is cut to what is left there,
    in this order: read from the cache, written to it, audio, image."""
    return Counts(*count_values(usage, extra_units))


def count_values(usage: Usage, extra_units: Mapping[str, Decimal] | None = None) -> tuple[int, ...]:
    """The fields of `counts_of` in their order, for every request that is metered: quick for the many that
    have neither cache writes nor audio, images and units."""
    if _others_of(usage) == _NONE and not extra_units:
        total, cached = usage.input_tokens or 0, usage.cached_input_tokens or 0
        output = (usage.reasoning_tokens if usage.output_tokens is None else usage.output_tokens) or 0
        if 0 <= cached <= total and output >= 0:
            return (total, cached, 0, 0, output, *_NOTHING_ELSE)
    return _cut_values(usage, extra_units)


def _cut_values(usage: Usage, extra_units: Mapping[str, Decimal] | None) -> tuple[int, ...]:
    left = total = max(0, usage.input_tokens or 0)
    parts = []
    for part in (
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.audio_input_tokens,
        usage.image_input_tokens,
    ):
        parts.append(max(0, min(part or 0, left)))
        left -= parts[-1]
    cached, written, written_1h, audio, image = parts
    output = max(0, usage.billed_output or 0)
    audio_out = max(0, min(usage.audio_output_tokens or 0, output))
    image_out = max(0, min(usage.image_output_tokens or 0, output - audio_out))
    tokens = (total, cached, written, written_1h, output, audio, audio_out, image, image_out)
    return (*tokens, *(_units(extra_units) if extra_units else _NO_UNITS))


def _units(extra_units: Mapping[str, Decimal]) -> tuple[int, ...]:
    whole = tuple(_whole(extra_units.get(name)) for name in UNITS)
    return (*whole, _whole(extra_units.get("audio_seconds"), 1_000))


def sensible(number: Decimal | None) -> bool:
    """Whether a number can be a count of something that is billed."""
    return number is not None and number.is_finite() and 0 <= number <= MAX_UNITS


def _whole(number: Decimal | None, times: int = 1) -> int:
    """Halves go up, as databases round."""
    if number is None or not sensible(number):
        return 0
    return int((number * times).to_integral_value(ROUND_HALF_UP))
