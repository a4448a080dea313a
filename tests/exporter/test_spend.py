from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from exporter.metrics import ACCOUNT_COST_7D, ACCOUNT_UNPRICED_7D
from exporter.spend import PERIOD, spend
from ledger.cost import TokenSum
from ledger.prices import DAWN, Price, PriceBook

NOW = datetime(2026, 9, 30, tzinfo=UTC)
BOOK = PriceBook([Price("m", DAWN, Decimal(2), Decimal(10)), Price("free", DAWN, Decimal(0), Decimal(0))])


def row(model: str, metered: int, unmetered: int = 0) -> TokenSum:
    return TokenSum(model, None, False, NOW, metered, unmetered, 1_000_000 * metered, 0, 0)


def test_an_account_has_the_sum_of_its_models_and_the_count_of_what_has_no_price() -> None:
    cost, unpriced = spend({"one": [row("m", 3), row("new", 4)], "two": [row("m", 1, unmetered=2)]}, BOOK)
    assert (cost.family, unpriced.family) == (ACCOUNT_COST_7D, ACCOUNT_UNPRICED_7D)
    assert cost.values == {("one",): 6.0, ("two",): 2.0}
    assert unpriced.values == {("one",): 4, ("two",): 2}


def test_a_free_model_and_an_unpriced_one_are_not_the_same() -> None:
    cost, unpriced = spend({"free": [row("free", 1)], "unpriced": [row("new", 1)]}, BOOK)
    assert cost.values == {("free",): 0.0, ("unpriced",): 0.0}
    assert unpriced.values == {("free",): 0, ("unpriced",): 1}


def test_without_requests_there_is_nothing_to_say() -> None:
    assert [samples.values for samples in spend({}, BOOK)] == [{}, {}]


def test_the_period_is_what_the_name_says() -> None:
    assert timedelta(days=7) == PERIOD
