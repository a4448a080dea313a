"""Counts: every kind disjoint, whatever a provider reports."""

from __future__ import annotations

from dataclasses import astuple
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.pricing.counts import Counts, counts_of, is_metered
from ledger.pricing.steps import CONTEXT_STEPS, context_step
from ledger.values import Usage

number = st.one_of(st.none(), st.integers(-5, 1_000))


class TestCounts:
    @given(st.builds(Usage, *[number] * 10))
    def test_the_parts_never_overlap_and_never_exceed_what_contains_them(self, usage: Usage) -> None:
        counts = counts_of(usage)
        assert min(astuple(counts)) >= 0
        parts = counts.cached_input + counts.cache_write + counts.cache_write_1h
        assert parts + counts.audio_input + counts.image_input <= counts.input
        assert counts.audio_output + counts.image_output <= counts.output
        assert counts.input == max(0, usage.input_tokens or 0)

    def test_what_fits_is_taken_as_reported(self) -> None:
        counts = counts_of(Usage(1_000, 400, 200, 50, 300, 100, 7, 8, 9, 10))
        assert counts == Counts(1_000, 200, 300, 100, 400, 7, 8, 9, 10)

    def test_a_part_too_large_is_cut_to_what_is_left(self) -> None:
        assert counts_of(Usage(100, 10, 60, None, 60, 60)) == Counts(100, 60, 40, 0, 10)

    def test_other_units(self) -> None:
        units = {"web_search": Decimal(2), "audio_seconds": Decimal("12.34"), "unheard_of": Decimal(5)}
        counts = counts_of(Usage(), units)
        assert counts == Counts(web_searches=2, audio_ms=12_340)

    @pytest.mark.parametrize("senseless", ["NaN", "Infinity", "-1", "1e13"])
    def test_a_senseless_unit_adds_nothing(self, senseless: str) -> None:
        assert counts_of(Usage(1, 1), {"web_search": Decimal(senseless)}) == Counts(input=1, output=1)

    def test_counts_add_up(self) -> None:
        one = Counts(*range(14))
        assert astuple(one + one) == tuple(2 * n for n in range(14))

    @pytest.mark.parametrize(
        ("usage", "units", "metered"),
        [
            (Usage(1, 1), None, True),
            (Usage(1, None, reasoning_tokens=3), None, True),
            (Usage(1), None, False),
            (Usage(), {}, False),
            (Usage(), {"audio_seconds": Decimal(3)}, True),
            (Usage(), {"web_search": Decimal(3)}, False),
        ],
    )
    def test_metered(self, usage: Usage, units: dict[str, Decimal] | None, metered: bool) -> None:
        assert is_metered(usage, units) is metered


class TestSteps:
    def test_they_ascend(self) -> None:
        assert list(CONTEXT_STEPS) == sorted({*CONTEXT_STEPS})

    @pytest.mark.parametrize(
        ("tokens", "step"),
        [
            (None, -1),
            (0, 0),
            (-3, 0),
            (32_000, 0),
            (32_001, 32_000),
            (272_000, 256_000),
            (272_001, 272_000),
            (10**9, 524_288),
        ],
    )
    def test_a_step_is_passed_by_one_token_more(self, tokens: int | None, step: int) -> None:
        assert context_step(tokens) == step
