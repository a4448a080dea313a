"""Totals, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from ledger.pricing.cost import Spend
from ledger.pricing.prices import PriceBook
from ledger.values import NO_USAGE, RequestEvent, Usage
from simulator.history.totals import totals

Make = Callable[..., RequestEvent]
BEFORE = datetime(2026, 8, 20, 23, 59, 59, tzinfo=UTC)
AFTER = datetime(2026, 8, 21, tzinfo=UTC)


def test_a_plain_request(event: Make, book: PriceBook) -> None:
    found = totals([event()], book)  # gpt-5.4-mini: 0.75, 0.075 and 4.5 dollars per million
    assert found.cost == Spend(Decimal("0.00093"))  # 600 * 0.75 + 400 * 0.075 + 100 * 4.5 millionths
    assert found.requests == {("2026-09-01", "success", "gpt-5.4-mini"): 1}
    assert [found.token_count(k) for k in ("input", "output", "cached_input", "reasoning")] == [
        1_000,
        100,
        400,
        30,
    ]
    assert found.cost_by_account == {"acc": found.cost}
    assert found.cost_by_model == {"gpt-5.4-mini": found.cost}


def test_a_price_changes_at_midnight(event: Make, book: PriceBook) -> None:
    usage = Usage(1_000_000, 0)  # gpt-5.6-sol: 5 dollars until 21 August, then 4; doubled as a long context
    days = totals([event(model="gpt-5.6-sol", usage=usage, requested_at=at) for at in (BEFORE, AFTER)], book)
    assert days.cost_by_day == {"2026-08-20": Spend(Decimal(10)), "2026-08-21": Spend(Decimal(8))}


def test_unpriced_successes_are_counted_and_failures_are_not(event: Make, book: PriceBook) -> None:
    found = totals(
        [
            event(),
            event(model="nobody-knows"),
            event(usage=NO_USAGE),
            event(model=None),
            event(status="error", usage=NO_USAGE),
            event(status="cancelled", usage=NO_USAGE),
            event(billable=False, usage=NO_USAGE),
        ],
        book,
    )
    assert found.cost == Spend(Decimal("0.00093"), 3)
    assert found.cost_by_model["nobody-knows"] == found.cost_by_model["unknown"] == Spend(unpriced_requests=1)


def test_counting_by_what_is_asked(event: Make, book: PriceBook) -> None:
    found = totals(
        [event(requested_at=BEFORE), event(requested_at=AFTER, status="error"), event(model="m")], book
    )
    assert found.count() == 3
    assert found.count(day="2026-08-21") == found.count(status="error") == found.count(model="m") == 1
    assert found.count(status="success", model="gpt-5.4-mini") == 1
    assert found.count(day="2026-08-21", status="success") == 0
