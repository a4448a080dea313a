"""Counts that no model can have: a slip of the provider, or of whoever answers in its place.

One request may use a context window several times over: tools that run at the provider's are asked in a
loop, and one request may ask for several answers. An embedding request brings many inputs, each as long as
the window.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import cache, lru_cache
from pathlib import Path

from ledger.pricing.names import spellings
from ledger.values import Usage

CONTEXT_WINDOWS = Path(__file__).with_name("context_windows.json")
"""Tokens by model, generated from the price library's data as the catalogue is."""

DEFAULT_WINDOW = 2_000_000
"""For models that are not known; hardly one that is known has a longer one."""

MIN_WINDOW = 128_000
"""What shorter windows are taken for: published ones are often those of an earlier version."""

WINDOWS_PER_REQUEST = 32
INPUTS_PER_EMBEDDING = 2_048
EMBEDDING_WINDOW = 32_000

_NAMES = tuple(field.name for field in fields(Usage))


def ceiling(model: str | None, api: str) -> int:
    """The most tokens of any kind that one request of a model may report."""
    if api == "embeddings":
        return EMBEDDING_WINDOW * INPUTS_PER_EMBEDDING
    return max(context_window(model), MIN_WINDOW) * WINDOWS_PER_REQUEST


def plausible(usage: Usage, model: str | None, api: str) -> bool:
    """Whether one request can have these counts."""
    most = ceiling(model, api)
    return all((getattr(usage, name) or 0) <= most for name in _NAMES)


@lru_cache(maxsize=1024)
def context_window(model: str | None) -> int:
    """A model's context window in tokens; where it is not known, that of the model whose name it extends."""
    known = _windows()
    for spelling in spellings(model or ""):
        if spelling.name in known:
            return known[spelling.name]
    for spelling in spellings(model or ""):
        parts = spelling.name.split("-")
        for count in range(len(parts) - 1, 1, -1):
            if (found := known.get("-".join(parts[:count]))) is not None:
                return found
    return DEFAULT_WINDOW


def windows_text(windows: Mapping[str, int]) -> str:
    """The file of windows: one model a line."""
    return json.dumps(windows, indent=0, sort_keys=True) + "\n"


@cache
def _windows() -> dict[str, int]:
    found: dict[str, int] = json.loads(CONTEXT_WINDOWS.read_text(encoding="utf-8"))
    return found
