"""Counts that no model can have: a slip of the provider, or of whoever answers in its place.

One request may use a context window several times over: tools that run at the provider's are asked in a
loop, and one request may ask for several answers. An embedding request brings many inputs, each as long as
the window.
"""

from __future__ import annotations

from dataclasses import fields

from ledger.values import Usage

DEFAULT_WINDOW = 2_000_000
"""Tokens; no model that is known has a longer context window."""

WINDOWS_PER_REQUEST = 32
INPUTS_PER_EMBEDDING = 2_048

_NAMES = tuple(field.name for field in fields(Usage))


def ceiling(context_window: int | None, api: str) -> int:
    """The most tokens of any kind that one request of a model may report.

    Args:
        context_window: of the model, in tokens; None where it is not known.
    """
    window = context_window or DEFAULT_WINDOW
    return window * (INPUTS_PER_EMBEDDING if api == "embeddings" else WINDOWS_PER_REQUEST)


def plausible(usage: Usage, context_window: int | None, api: str) -> bool:
    """Whether one request can have these counts."""
    most = ceiling(context_window, api)
    return all((getattr(usage, name) or 0) <= most for name in _NAMES)
