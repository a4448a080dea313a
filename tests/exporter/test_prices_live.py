"""The exporter prices by what the ledger's table says now."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from ledger.pricing.prices import DAWN, Card, Price, Rates, flat
from ledger.pricing.table import replace_prices
from ledger.requests.writes import record
from ledger.schema import prices as table
from ledger.schema import versions
from ledger.values import Usage

COST = "codex_lb_proxy_account_cycle_cost_usd"


def cost_of(scrape: Any, values: Any, family: str) -> float:
    found: dict[tuple[str, ...], float] = values(scrape())
    return found[family, "one"]


@pytest.fixture
def family() -> str:
    return "codex_lb_proxy_account_cost_usd_7d"


@pytest.mark.slow
def test_a_changed_price_holds_from_the_next_scrape_on_and_a_broken_table_changes_nothing(
    usage_db: Path, write: Any, taker: Callable[..., Any], values: Any, family: str
) -> None:
    take = taker(usage_db)
    # two requests of 800 plain, 200 cached and 100 output tokens
    assert cost_of(take, values, family) == pytest.approx(2 * (800 * 1.25 + 200 * 0.125 + 100 * 10) / 1e6)
    write(usage_db, lambda c: replace_prices(c, [flat("gpt-5", DAWN, Decimal(100), Decimal(0))]))
    assert cost_of(take, values, family) == pytest.approx(2 * 1_000 * 100 / 1e6)

    def empty(connection: Any) -> None:
        connection.execute(delete(table))
        connection.execute(update(versions).values(version=versions.c.version + 1))

    write(usage_db, empty)
    assert cost_of(take, values, family) == pytest.approx(2 * 1_000 * 100 / 1e6)


def test_it_prices_providers_tiers_cache_writes_and_units_as_the_rule_does(
    usage_db: Path, write: Any, make_event: Any, taker: Callable[..., Any], values: Any, family: str
) -> None:
    rates = Rates(Decimal(2), Decimal(0), cache_write=Decimal(4), cache_write_1h=Decimal(8))
    priced = Price(
        "m",
        DAWN,
        Card(Rates(Decimal(1), Decimal(0), web_searches=Decimal(10), audio_input=Decimal(5))),
        tiers={"priority": Card(rates)},
        provider="groq",
    )
    events = [
        # (1000 - 300 - 200) * 2 + 300 * 4 + 200 * 8 = 3800
        make_event(
            model="m",
            provider="groq",
            login=True,
            requested_service_tier="fast",
            service_tier="default",
            usage=Usage(1_000, 0, 0, None, 300, 200),
        ),
        # 900 * 1 + 100 * 5, and a search: 1400 and 10000
        make_event(
            model="m",
            provider="groq",
            usage=Usage(1_000, 0, audio_input_tokens=100),
            extra_units={"web_search": Decimal(1)},
        ),
        make_event(model="m", provider="openai"),  # no price
    ]

    def fill(connection: Any) -> None:
        replace_prices(connection, [priced, flat("gpt-5", DAWN, Decimal(0), Decimal(0))])
        record(connection, events)

    write(usage_db, fill)
    found = values(taker(usage_db)())
    assert found[family, "one"] == pytest.approx((3_800 + 1_400 + 10_000) / 1e6)
    assert found["codex_lb_proxy_account_unpriced_requests_7d", "one"] == 1
