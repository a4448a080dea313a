"""Counts that no model can have."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ledger.pricing.ceilings import (
    DEFAULT_WINDOW,
    MIN_WINDOW,
    WINDOWS_PER_REQUEST,
    ceiling,
    context_window,
    plausible,
)
from ledger.pricing.cost import price_request
from ledger.pricing.files import load_seed
from ledger.pricing.prices import PriceBook
from ledger.values import NO_USAGE, Usage
from tests.ledger.conftest import NOON


@pytest.mark.parametrize(
    ("model", "window"),
    [
        ("gpt-5.4", 1_050_000),
        ("GPT-5.4-2026-03-05", 1_050_000),
        ("openai/gpt-4o", 128_000),
        ("claude-sonnet-4-5-20250929", 200_000),
        ("gpt-5.4-mini-2026-03-05", 400_000),
        ("nobody-knows", DEFAULT_WINDOW),
        ("", DEFAULT_WINDOW),
        (None, DEFAULT_WINDOW),
    ],
)
def test_the_context_window_of_a_model(model: str | None, window: int) -> None:
    assert context_window(model) == window


@pytest.mark.parametrize("name", Usage.__struct_fields__)
@pytest.mark.parametrize("model", ["gpt-5.4", "gpt-4", "nobody-knows", None])
def test_the_ceiling_holds_for_every_count(name: str, model: str | None) -> None:
    most = max(context_window(model), MIN_WINDOW) * WINDOWS_PER_REQUEST
    assert plausible(Usage(**{name: most}), model, "responses")
    for count in (most + 1, 10**9, 2**48, 2**63):
        assert not plausible(Usage(**{name: count}), model, "responses")


def test_nothing_is_plausible_and_many_inputs_are_embedded_at_once() -> None:
    assert plausible(NO_USAGE, "gpt-5.4", "responses")
    assert plausible(Usage(2_048 * 8_191, 0), "text-embedding-3-small", "embeddings")
    assert not plausible(Usage(2_048 * 8_191, 0), "gpt-5.4-mini", "responses")


def test_no_request_can_cost_what_nobody_could_pay() -> None:
    book = PriceBook(load_seed())
    for model in sorted({price.model for price in book.prices}):
        most = ceiling(model, "responses")
        cost = price_request(book, model, Usage(most, most), NOON)
        assert not isinstance(cost, Decimal) or cost < 100_000, model
