from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.values import NO_USAGE, Usage

COUNT = st.one_of(st.none(), st.integers(0, 10**12))


@pytest.mark.parametrize(
    ("output", "reasoning", "billed"),
    [(400, 300, 400), (0, 300, 0), (None, 300, 300), (None, None, None), (400, None, 400)],
)
def test_reasoning_stands_in_only_where_output_was_not_reported(
    output: int | None, reasoning: int | None, billed: int | None
) -> None:
    assert Usage(output_tokens=output, reasoning_tokens=reasoning).billed_output == billed


@pytest.mark.parametrize(
    ("tokens", "cached", "billed"),
    [(100, 60, 60), (100, 100, 100), (100, 101, 100), (100, -5, 0), (100, None, 0), (None, 60, 0)],
)
def test_cached_input_is_clamped_to_the_input_that_contains_it(
    tokens: int | None, cached: int | None, billed: int
) -> None:
    assert Usage(input_tokens=tokens, cached_input_tokens=cached).billed_cached == billed


@given(COUNT, st.one_of(st.none(), st.integers(-(10**12), 10**12)))
def test_billed_cached_is_always_between_nothing_and_the_input(
    tokens: int | None, cached: int | None
) -> None:
    billed = Usage(input_tokens=tokens, cached_input_tokens=cached).billed_cached
    assert 0 <= billed <= (tokens or 0)


def test_values_never_change() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        NO_USAGE.input_tokens = 1  # type: ignore[misc]
