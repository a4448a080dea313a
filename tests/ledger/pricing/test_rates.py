from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.pricing.cost import price_request
from ledger.pricing.counts import count_values
from ledger.pricing.files import book, load_seed
from ledger.pricing.prices import DAWN, Card, Price, PriceBook, Rates, flat
from ledger.pricing.rates import RateTable
from ledger.quota.running import PICO_PER_USD, SILENT, UNPRICED
from ledger.reader.foreign import micros
from ledger.values import Usage

SEEDED = book(load_seed())
AT = micros(datetime(2026, 9, 30, 12, tzinfo=UTC))
counts = st.one_of(st.none(), st.integers(0, 2_000), st.integers(271_990, 272_010), st.just(10**8))


def cost_of(model: str, *, input_tokens: int = 1_000, stored_usd: object = None) -> int:
    return RateTable(SEEDED).cost(AT, model, None, input_tokens, 10, 0, 0, True, stored_usd)


@given(
    st.sampled_from(["gpt-5.6-sol", "gpt-5.5", "GPT-5.4", "gpt-5.5-pro", "gpt-5.9", "unknown", ""]),
    st.sampled_from([None, "", "priority", "flex", "auto"]),
    counts,
    counts,
    st.one_of(counts, st.just(-5)),
    counts,
    st.integers(0, 6 * 24),
    st.booleans(),
)
def test_a_row_costs_what_the_rule_says_to_the_last_digit(
    model: str,
    tier: str | None,
    input: int | None,
    output: int | None,
    cached: int | None,
    reasoning: int | None,
    hours: int,
    should: bool,
) -> None:
    at = datetime(2026, 8, 19, 1, tzinfo=UTC) + timedelta(hours=hours)  # a price changes on the 21st
    usage = Usage(input, output, cached, reasoning)
    expected = price_request(SEEDED, model, usage, at, tier)
    found = RateTable(SEEDED).cost(micros(at), model, tier, input, output, cached, reasoning, should)
    if isinstance(expected, Decimal):
        assert Decimal(found) / PICO_PER_USD == expected
    elif input is None or usage.billed_output is None:
        assert found == (UNPRICED if should else SILENT)
    else:
        assert found == UNPRICED


def test_what_the_owner_stored_stands_in_where_no_price_is_known() -> None:
    table = RateTable(SEEDED)
    row = (None, 1_000, 100, 0, 0, True)
    assert table.cost(AT, "made-up", *row, stored_usd=0.25) == PICO_PER_USD // 4
    assert table.cost(AT, "made-up", *row) == UNPRICED
    assert table.cost(AT, "gpt-5.5", *row, stored_usd=99.0) == table.cost(AT, "gpt-5.5", *row)


def test_rates_with_many_digits_are_rounded_to_a_millionth_of_a_millionth() -> None:
    table = RateTable(PriceBook([flat("odd", DAWN, Decimal("0.0012345678"), Decimal(0))]))
    assert table.cost(AT, "odd", None, 3, 0, 0, 0, True) == 3704  # 3 * 1234.5678


@pytest.mark.parametrize("model", ["gpt-5.5", "GPT-5.5", "gpt-5.5-2026-01-01"])
def test_names_are_found_as_the_price_book_finds_them(model: str) -> None:
    assert RateTable(SEEDED).cost(AT, model, None, 200_000, 0, 0, 0, True) == PICO_PER_USD


def test_invented_model_names_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.pricing.rates.MAX_KINDS", 10)
    table = RateTable(SEEDED)
    for number in range(100):
        table.cost(AT, f"model-{number}", None, 1, 1, 0, 0, True)
    assert len(table._known) <= 10


@pytest.mark.parametrize(
    "stored", [-3.0, "-0.01", float("inf"), float("nan"), 1e10, "a few", "", Decimal("NaN")]
)
def test_what_an_owner_stored_is_a_cost_only_if_it_is_an_amount(stored: object) -> None:
    assert cost_of("nobody-knows", stored_usd=stored) == UNPRICED
    assert cost_of("nobody-knows", stored_usd="0.25") == 250_000_000_000


@pytest.mark.parametrize("tokens", [10**13, 2**62])
def test_a_request_of_more_than_a_million_dollars_has_no_price(tokens: int) -> None:
    assert cost_of("gpt-5.5", input_tokens=tokens) == UNPRICED


def test_a_sum_costs_what_its_requests_cost_fees_and_cache_writes_included() -> None:
    """Of three alike, with what they wrote to a cache, and a fee for each."""
    rates = Rates(Decimal(1), Decimal(2), Decimal("0.1"), Decimal("1.25"), Decimal(2), requests=Decimal(5))
    given = PriceBook([Price("m", DAWN, Card(rates))])
    usage, at = Usage(1_000, 100, 200, None, 300, 50), datetime(2026, 9, 30, tzinfo=UTC)
    one = price_request(given, "m", usage, at)
    assert one == Decimal("0.006145")
    counts = [3 * value for value in count_values(usage)]
    day = (at - datetime(1970, 1, 1, tzinfo=UTC)).days
    pico, unpriced = RateTable(given).of_sum(day, "m", None, None, 0, 3, 1, counts)
    assert (Decimal(pico) / PICO_PER_USD, unpriced) == (3 * one, 1)
