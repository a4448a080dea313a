"""The table `prices`, and who follows it while it changes."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import Engine, delete, update

from ledger.errors import PriceError
from ledger.pricing.files import book, load_seed
from ledger.pricing.prices import DAWN, Card, Price, PriceBook, Rates, flat
from ledger.pricing.table import CurrentPrices, price_book, replace_prices, version
from ledger.schema import prices as table

NOW = datetime(2026, 11, 28, tzinfo=UTC)
LONG = Rates(Decimal(2), Decimal(3), web_searches=Decimal(10))
SPECIAL = Price(
    "x-*",
    DAWN,
    Card(
        Rates(Decimal("0.1"), Decimal("1.10"), cache_write_1h=Decimal(2), pages=Decimal(5)),
        ((272_000, LONG),),
    ),
    tiers={"flex": Card(LONG), "priority": Card(LONG, ((200_000, LONG),))},
    provider="somebody",
    names=("y", "y-*"),
    alias_of="z",
    context_window=400_000,
    origin="override",
    reason="a reason",
    source="a source",
    as_of="2026-11-28",
)
CONFIGURED = flat("gpt-5", DAWN, Decimal(1), Decimal(2), Decimal(0), origin="config")


def store(ledger: Engine, prices: Iterable[Price]) -> bool:
    with ledger.begin() as connection:
        return replace_prices(connection, prices)


@pytest.mark.slow
def test_the_table_holds_exactly_the_book(ledger: Engine) -> None:
    prices = book([*load_seed(), SPECIAL], [CONFIGURED])
    assert [store(ledger, prices.prices) for _ in range(2)] == [True, False]  # the second time it is there
    with ledger.connect() as connection:
        assert price_book(connection).prices == prices.prices
        assert version(connection) == 1


def test_an_empty_update_keeps_the_last_good_prices(ledger: Engine) -> None:
    store(ledger, [SPECIAL])
    with pytest.raises(PriceError, match="no prices to store; those of before stay in force"):
        store(ledger, [])
    with ledger.connect() as connection:
        assert price_book(connection).prices == (SPECIAL,)


def test_two_that_start_at_once_with_new_prices_both_start(ledger: Engine) -> None:
    """The one that comes second waits, and finds what the first has stored."""
    if ledger.dialect.name == "sqlite":
        return  # it lets only one write at all
    prices = [flat("gpt-5", DAWN, Decimal(1), Decimal(2)), CONFIGURED]
    with ThreadPoolExecutor(1) as other:
        with ledger.begin() as connection:
            assert replace_prices(connection, prices)
            waiting = other.submit(store, ledger, prices)
            assert not wait([waiting], timeout=0.3).done
        assert waiting.result(timeout=30) is False


class TestFollowing:
    def test_a_changed_price_is_taken(self, ledger: Engine) -> None:
        current = CurrentPrices(PriceBook([]))
        store(ledger, [CONFIGURED])
        with ledger.connect() as connection:
            assert current.follow(connection)
            assert not current.follow(connection)
        store(ledger, [replace(CONFIGURED, card=Card(LONG))])
        with ledger.connect() as connection:
            assert current.follow(connection)
        found = current.book.find("gpt-5", NOW)
        assert found is not None
        assert found.rates == LONG

    def test_before_anything_is_stored_its_own_prices_hold(self, ledger: Engine) -> None:
        current = CurrentPrices(PriceBook([SPECIAL]))
        with ledger.connect() as connection:
            assert not current.follow(connection)
        assert current.book.prices == (SPECIAL,)

    def test_what_one_stored_oneself_is_not_read_again(self, ledger: Engine) -> None:
        current = CurrentPrices(PriceBook([SPECIAL]))
        with ledger.begin() as connection:
            current.store(connection)
            assert not current.follow(connection)
        store(ledger, [CONFIGURED])
        with ledger.begin() as connection:
            assert current.follow(connection)
            assert current.book.prices == (CONFIGURED,)
            current.store(connection)  # the file of the ledger is another one: its own prices again
            assert current.book.prices == (SPECIAL,)
            assert not current.follow(connection)

    @pytest.mark.parametrize(
        ("column", "value", "says"),
        [
            ("tiers", "{", "model 'gpt-5': its row in the table prices cannot be read"),
            ("tiers", '{"flex": {"input": "0.00001"}}', "implausible"),
            ("context_tiers", '{"1": {}}', "unknown context step"),
            ("units", '{"gold": "1"}', "gold: unknown kind"),
            ("names", "null", "cannot be read"),
        ],
    )
    def test_a_bad_update_keeps_the_last_good_prices(
        self, ledger: Engine, caplog: pytest.LogCaptureFixture, column: str, value: str, says: str
    ) -> None:
        current = CurrentPrices(PriceBook([]))
        store(ledger, [CONFIGURED])
        with ledger.connect() as connection:
            current.follow(connection)
        store(ledger, [replace(CONFIGURED, card=Card(LONG))])
        with ledger.begin() as connection:
            connection.execute(update(table).values({column: value}))
            with caplog.at_level(logging.ERROR):
                assert [current.follow(connection) for _ in range(3)] == [False] * 3
        assert current.book.prices == (CONFIGURED,)
        assert [says in record.message for record in caplog.records] == [True]

    def test_a_table_that_was_emptied_keeps_the_last_good_prices(self, ledger: Engine) -> None:
        current = CurrentPrices(PriceBook([SPECIAL]))
        store(ledger, [CONFIGURED])
        with ledger.begin() as connection:
            connection.execute(delete(table))
            assert not current.follow(connection)
        assert current.book.prices == (SPECIAL,)
