"""Each view as it looks, at 80 by 24 and at 160 by 50: the text of the screen at a moment at which the clock
stands still. `UPDATE_SCREENS=1` writes them again; look at what has changed."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from console.terminal.app import Top
from console.terminal.source import Source
from console.terminal.view import Look
from console.terminal.words import UTF8
from ledger.pricing.prices import DAWN, PriceBook, flat
from ledger.pricing.table import replace_prices
from settings.load import load
from simulator.history.history import generate
from simulator.history.ledger import store
from simulator.history.plan import days
from tests.console.terminal.test_top import note, text, until
from tests.support.ledgers import migrated

pytestmark = pytest.mark.slow

NOW = datetime(2026, 10, 28, 14, 30, tzinfo=UTC)
SCREENS = Path(__file__).with_name("screens")
MODELS = ("gpt-5.4-mini", "gpt-4o-mini", "gpt-5.5", "gpt-6.1-sol", "text-embedding-3-small")
PRICES = PriceBook([flat(model, DAWN, Decimal(2), Decimal(8), Decimal("0.2")) for model in MODELS])
"""Prices of our own: new price data changes no picture."""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A week that ends at that moment."""
    path = tmp_path_factory.mktemp("pictures") / "usage.db"
    history = generate(days(date(2026, 10, 22), 7, requests_per_day=120, seed=17), PRICES)
    past = replace(
        history,
        events=tuple(event for event in history.events if event.requested_at < NOW),
        samples=tuple(sample for sample in history.samples if sample.recorded_at < NOW),
    )
    engine = migrated(path)
    with engine.begin() as connection:
        replace_prices(connection, PRICES.prices)
    store(engine, past)
    engine.dispose()
    return path


@pytest.mark.parametrize("size", [(80, 24), (160, 50)], ids=["80x24", "160x50"])
async def test_views_look_as_they_did(ledger: Path, size: tuple[int, int]) -> None:
    settings = load(None, {"CODEX_USAGE_DB_PATH": str(ledger)})
    look = Look(ZoneInfo("Europe/Berlin"), UTF8, True, lambda: NOW)
    async with Top(Source(settings), look).run_test(size=size) as pilot:
        for key, name, wanted in (
            ("1", "overview", "12 months"),
            ("2", "by", "SINCE"),
            ("3", "prices", "NO PRICE"),
            ("4", "accounts", "RESETS"),
        ):
            await pilot.press(key)
            await until(pilot, lambda wanted=wanted: wanted in text(pilot) and "1/" in note(pilot))  # type: ignore[misc]
            await pilot.pause(0.1)
            file = SCREENS / f"{name}-{size[0]}x{size[1]}.txt"
            if os.environ.get("UPDATE_SCREENS"):
                file.parent.mkdir(exist_ok=True)
                file.write_text(text(pilot) + "\n", encoding="utf-8")
            assert text(pilot) + "\n" == file.read_text(encoding="utf-8"), file.name
