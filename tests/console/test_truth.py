"""What the page says is what the simulator sent, counted without the ledger."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ledger.pricing.files import load_seed
from ledger.pricing.prices import PriceBook
from ledger.store import sqlite_url
from ledger.values import RequestEvent
from simulator.history.history import generate
from simulator.history.ledger import prepared, store
from simulator.history.plan import Plan
from simulator.history.totals import totals
from tests.console.conftest import Books, Console

Serve = Callable[..., Console]
BOOK = PriceBook(load_seed())
ZONES = ("Europe/Berlin", "Asia/Kolkata")
"""In one of them the day of the change has 25 hours; in the other one days begin at half past."""

START, END = datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 10, 27, tzinfo=UTC)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, tuple[RequestEvent, ...]]]:
    """Three days around the end of summer time."""
    path = tmp_path_factory.mktemp("history") / "usage.db"
    made = generate(Plan(START, END, 2_000, seed=16), BOOK)
    engine = prepared(sqlite_url(path))
    store(engine, made)
    engine.dispose()
    yield path, made.events


def day_of(zone: str) -> tuple[datetime, datetime]:
    """The day on which the clocks change."""
    return datetime(2026, 10, 25, tzinfo=ZoneInfo(zone)), datetime(2026, 10, 26, tzinfo=ZoneInfo(zone))


def texts(part: str) -> list[str]:
    """The cells of a row, as they are read."""
    cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", part, re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", "", cell)).split()) for cell in cells]


def rows_of(page: str, dimension: str) -> dict[str, list[str]]:
    table = page.partition(f'id="title-{dimension}"')[2].partition("</table>")[0]
    found = [texts(row) for row in re.findall(r"<tr>(.*?)</tr>", table.partition("<tbody>")[2], re.DOTALL)]
    return {cells[0]: cells for cells in found}


def card(page: str, title: str) -> str:
    found = re.search(rf"<h2>{title}</h2>\s*<p class=\"value\">([^<]*)</p>", page)
    assert found, title
    return found[1]


def part(page: str, word: str) -> str:
    found = re.search(rf"<span>{word} <b>([^<]*)</b></span>", page)
    assert found, word
    return found[1]


def shown(usd: Decimal) -> str:
    return f"${usd:,.2f}" if usd >= 1 else f"${usd:.4f}" if usd >= Decimal("0.0001") else f"${usd:.2g}"


def number(value: int) -> str:
    return f"{value:,}"


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_with_a_clock_change(
    history: tuple[Path, tuple[RequestEvent, ...]], books: Books, serve: Serve, zone: str
) -> None:
    books.path, events = history
    since, until = day_of(zone)
    meant = [event for event in events if since <= event.requested_at < until]
    truth = totals(meant, BOOK)
    console = serve()
    asked = f"?from=2026-10-25T00:00&to=2026-10-26T00:00&zone={zone}"
    page = console.get(f"/{asked}").text
    assert truth.count() > 400 and truth.count(status="error") > 5
    assert card(page, "Requests") == number(truth.count())
    assert card(page, "Failures") == number(truth.count(status="error"))
    assert part(page, "cancelled") == number(truth.count(status="cancelled"))
    assert card(page, "Cost, list price") == shown(truth.cost.usd)
    assert card(page, "Unpriced") == number(truth.cost.unpriced_requests)
    for dimension, costs in (("account_id", truth.cost_by_account), ("model", truth.cost_by_model)):
        rows = rows_of(page, dimension)
        assert rows.keys() == costs.keys()
        for name, spend in costs.items():
            assert any(cell.split(" ")[0] == shown(spend.usd) for cell in rows[name]), (
                name,
                rows[name],
                spend,
            )
    models = rows_of(page, "model")
    for name in truth.cost_by_model:
        assert models[name][2:4] == [
            number(truth.count(model=name)),
            number(truth.count(model=name, status="error")),
        ]
    exported = [json.loads(line) for line in console.get(f"/export.jsonl{asked}").text.splitlines()]
    assert {row["request_id"] for row in exported} == {event.request_id for event in meant}
    assert sum(row["input_tokens"] or 0 for row in exported) == truth.token_count("input")


def test_the_repeated_hour_is_there_twice(
    history: tuple[Path, tuple[RequestEvent, ...]], books: Books, serve: Serve
) -> None:
    """From two to four in Berlin three hours pass."""
    books.path, events = history
    since, until = datetime(2026, 10, 25, 0, tzinfo=UTC), datetime(2026, 10, 25, 3, tzinfo=UTC)
    meant = [event for event in events if since <= event.requested_at < until]
    asked = "?from=2026-10-25T02:00&to=2026-10-25T04:00&zone=Europe/Berlin"
    assert card(serve().get(f"/{asked}").text, "Requests") == number(len(meant))
