"""Context steps: input sizes above which some model's tokens cost more.

A request that is more than a step is priced as a whole by the rates of that step. Sums of requests are kept
apart by step, so that one rule prices requests and sums alike.
"""

from __future__ import annotations

from bisect import bisect_left

CONTEXT_STEPS = (32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288)
"""Every step of any price, ascending, in input tokens. Price data with another one is refused: rows of
`daily_stats` from before it could not be told apart by it."""

NO_TOKENS = -1
"""Stands for the step of a request that reports no input tokens: it may be billed by something else alone."""

_WITH_NONE = (0, *CONTEXT_STEPS)


def context_step(input_tokens: int | None) -> int:
    """The highest step that an input is more than; 0 where it is more than none, and NO_TOKENS where it is
    not known."""
    return NO_TOKENS if input_tokens is None else _WITH_NONE[bisect_left(CONTEXT_STEPS, input_tokens)]
