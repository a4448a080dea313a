"""Counts that no model can have: a slip of the provider, or of whoever answers in its place.

One request may use a context window several times over: tools that run at the provider's are asked in a
loop, and one request may ask for several answers. An embedding request brings many inputs, each as long as
the window.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache, lru_cache
from operator import attrgetter

from ledger.pricing.files import load_seed
from ledger.pricing.prices import PriceBook
from ledger.values import Usage

DEFAULT_WINDOW = 2_000_000
"""For models that are not known; hardly one that is known has a longer one."""

MIN_WINDOW = 128_000
"""What shorter windows are taken for: published ones are often those of an earlier version."""

WINDOWS_PER_REQUEST = 32
INPUTS_PER_EMBEDDING = 2_048
EMBEDDING_WINDOW = 32_000
MIN_CEILING = MIN_WINDOW * WINDOWS_PER_REQUEST
"""What no ceiling is below."""

_NEWEST = datetime.max.replace(tzinfo=UTC)
_COUNTS = attrgetter(*Usage.__struct_fields__)


def ceiling(model: str | None, api: str) -> int:
    """The most tokens of any kind that one request of a model may report."""
    if api == "embeddings":
        return EMBEDDING_WINDOW * INPUTS_PER_EMBEDDING
    return max(context_window(model), MIN_WINDOW) * WINDOWS_PER_REQUEST


def plausible(usage: Usage, model: str | None, api: str) -> bool:
    """Whether one request can have these counts."""
    most = max(filter(None, _COUNTS(usage)), default=0)
    return most <= MIN_CEILING or most <= ceiling(model, api)


@lru_cache(maxsize=1024)
def context_window(model: str | None) -> int:
    """A model's context window in tokens, as the price data has it, whatever a configured price says."""
    price = _shipped().find(model, _NEWEST) if model else None
    return (price.context_window if price else None) or DEFAULT_WINDOW


@cache
def _shipped() -> PriceBook:
    return PriceBook(load_seed())
