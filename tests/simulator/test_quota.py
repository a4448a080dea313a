"""Usage samples: every one is what the account has spent in its window, against the window's true worth."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from ledger.pricing.prices import PriceBook
from ledger.values import RequestEvent, Usage
from simulator.history.fleet import SimulatedAccount
from simulator.history.history import History
from simulator.history.plan import Plan
from simulator.history.quota import (
    PRIMARY_MINUTES,
    SECONDARY_MINUTES,
    UsageSample,
    cycle_start,
    usage_samples,
)
from simulator.history.totals import totals

MONDAY = datetime(2026, 9, 7, tzinfo=UTC)
ACCOUNT = SimulatedAccount("acc", "a@example.com", "plus", 1, week_usd=10, five_hours_usd=2, cycle_hour=9)
DOLLAR = Usage(0, 100_000)
"""One dollar of gpt-5.1."""


def samples(event: Callable[..., RequestEvent], book: PriceBook, *after: timedelta) -> list[UsageSample]:
    """Samples of an account that spends a dollar at each of these times after Monday midnight."""
    plan = Plan(MONDAY, MONDAY + timedelta(days=20), accounts=(ACCOUNT,), percent_step=0.5)
    events = [event(model="gpt-5.1", usage=DOLLAR, requested_at=MONDAY + t) for t in after]
    return list(usage_samples(plan, events, book))


def test_a_primary_window_begins_with_its_first_request(
    event: Callable[..., RequestEvent], book: PriceBook
) -> None:
    hour = timedelta(hours=1)
    found = [s for s in samples(event, book, hour, 5.9 * hour, 6 * hour, 20 * hour) if s.window == "primary"]
    assert [s.used_percent for s in found] == [50, 100, 50, 50]
    begins = [datetime.fromtimestamp(s.reset_at, UTC) - timedelta(minutes=PRIMARY_MINUTES) for s in found]
    assert begins == [MONDAY + hour, MONDAY + hour, MONDAY + 6 * hour, MONDAY + 20 * hour]


def test_a_week_ends_at_its_own_hour(event: Callable[..., RequestEvent], book: PriceBook) -> None:
    hour = timedelta(hours=1)
    found = [
        s for s in samples(event, book, 8 * hour, 9 * hour, 30 * hour, 400 * hour) if s.window == "secondary"
    ]
    assert [s.used_percent for s in found] == [10, 10, 20, 10]
    first, second, third, fourth = (s.reset_at for s in found)
    assert first == (MONDAY + 9 * hour).timestamp()
    assert second == third == first + 7 * 86_400
    assert fourth == first + 3 * 7 * 86_400


def test_a_window_is_never_more_than_full(event: Callable[..., RequestEvent], book: PriceBook) -> None:
    minutes = [timedelta(minutes=6 * n) for n in range(4)]
    assert [s.used_percent for s in samples(event, book, *minutes)][::2] == [50, 100, 100, 100]


def test_samples_keep_their_distance(event: Callable[..., RequestEvent], book: PriceBook) -> None:
    found = samples(event, book, *(timedelta(minutes=m) for m in (0, 1, 4, 5, 6, 11)))
    assert [(s.recorded_at - MONDAY).seconds // 60 for s in found[::2]] == [0, 5, 11]
    assert [s.used_percent for s in found[1::2]] == [10, 40, 60]


@pytest.mark.slow
def test_every_weekly_sample_is_the_spend_of_its_cycle(history: History, book: PriceBook) -> None:
    accounts = {a.id: a for a in history.plan.accounts}
    weekly = [s for s in history.samples if s.window == "secondary"]
    for sample in weekly[::97]:
        account = accounts[sample.account_id]
        begin = datetime.fromtimestamp(sample.reset_at, UTC) - timedelta(minutes=SECONDARY_MINUTES)
        assert begin == cycle_start(account, sample.recorded_at)
        of_cycle = (
            e
            for e in history.events
            if e.account_id == account.id and begin <= e.requested_at <= sample.recorded_at
        )
        spent = totals(of_cycle, book).cost.usd
        true_percent = 100 * spent / Decimal(account.week_usd)
        assert abs(Decimal(sample.used_percent) - true_percent) <= Decimal("0.5001")


def test_used_percent_never_falls_within_a_window(history: History) -> None:
    by_window: dict[tuple[str, str, int], list[float]] = {}
    for s in history.samples:
        by_window.setdefault((s.account_id, s.window, s.reset_at), []).append(s.used_percent)
    assert all(a <= b for percents in by_window.values() for a, b in pairwise(percents))
    assert all(p == round(p) for percents in by_window.values() for p in percents)


def test_the_demo_uses_its_quota_and_does_not_exhaust_it(history: History) -> None:
    whole_week = [s for s in history.samples if s.window == "secondary"]
    most = {
        a.id: max(s.used_percent for s in whole_week if s.account_id == a.id) for a in history.plan.accounts
    }
    assert all(10 <= percent < 100 for percent in most.values())
    assert max(most.values()) > 80


@pytest.mark.parametrize("hour", [0, 9, 167])
def test_a_cycle_begins_at_most_a_week_before(hour: int) -> None:
    account = SimulatedAccount("a", "", "plus", 1, 1, 1, cycle_hour=hour)
    at = datetime(2026, 3, 29, 3, 30, tzinfo=UTC)
    begin = cycle_start(account, at)
    assert timedelta(0) <= at - begin < timedelta(days=7)
    assert (begin.weekday() * 24 + begin.hour, begin.minute) == (hour, 0)
