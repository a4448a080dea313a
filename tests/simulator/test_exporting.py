from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from ledger.pricing.files import book, load_seed
from metrics import exporter as m
from simulator.history.exporting import FAMILIES, WEEK_CREDITS, Exporter, export
from simulator.history.history import generate
from simulator.history.plan import days
from simulator.history.scrapes import Scrapes

PRICES = book(load_seed())
HISTORY = generate(days(date(2026, 8, 31), 9, requests_per_day=600), PRICES)
SCRAPES = Scrapes(datetime(2026, 8, 31, 0, 0, 5, tzinfo=UTC), datetime(2026, 9, 9, tzinfo=UTC), 60)
TOLD = Exporter(unnamed=frozenset({"acc-ben"}), suppressed={"acc-eve": "mid_cycle_jump"})
COUNTED = export(HISTORY, SCRAPES, PRICES, TOLD)


def last(family: object, *labels: str) -> Decimal:
    return COUNTED.series[str(family), labels].values[-1]


@pytest.mark.parametrize("account", [account.id for account in HISTORY.plan.accounts])
def test_windows_end_with_their_last_sample(account: str) -> None:
    seen = SCRAPES.at(SCRAPES.count - 1)
    samples = [s for s in HISTORY.samples if s.account_id == account and s.recorded_at < seen]
    week = [s for s in samples if s.window == "secondary"][-1]
    plans = {a.id: a.plan_type for a in HISTORY.plan.accounts}
    assert last(m.SECONDARY_USED, account) == Decimal(str(week.used_percent))
    assert last(m.SECONDARY_RESET, account) == week.reset_at
    left = WEEK_CREDITS[plans[account]] * (100 - week.used_percent) / 100
    assert float(last(m.SECONDARY_CREDITS, account)) == pytest.approx(left)


@pytest.mark.parametrize("account", [account.id for account in HISTORY.plan.accounts])
def test_each_week_that_ends_is_a_reset(account: str) -> None:
    weeks = {s.reset_at for s in HISTORY.samples if s.account_id == account and s.window == "secondary"}
    assert last(m.SECONDARY_RESETS, account) == len(weeks) - 1


def test_the_implied_quota_is_near_what_the_week_is_worth() -> None:
    for account in HISTORY.plan.accounts:
        if account.id in TOLD.suppressed:
            for part in (m.IMPLIED_QUOTA_7D, m.ACCOUNT_COST_7D, m.USED_DELTA_7D):
                assert (part.name, (account.id,)) not in COUNTED.series
            assert last(m.ACCOUNT_CYCLE_COST, account.id) > 0
        elif (used := float(last(m.USED_DELTA_7D, account.id))) >= 5:
            worth = float(last(m.IMPLIED_QUOTA_7D, account.id))
            assert worth == pytest.approx(account.week_usd, rel=2 / used)


def test_who_is_unnamed_has_no_identity() -> None:
    named = {labels[0] for name, labels in COUNTED.series if name == m.IDENTITY.name}
    assert named == {account.id for account in HISTORY.plan.accounts} - {"acc-ben"}


def test_every_series_is_of_a_family_with_as_many_labels() -> None:
    families = {family.name: family for family in FAMILIES}
    for name, labels in COUNTED.series:
        assert len(labels) == len(families[name].labels)


def test_an_estimate_is_no_number_before_a_percent_is_used() -> None:
    values = COUNTED.series[m.IMPLIED_QUOTA_7D.name, ("acc-anna",)].values
    assert any(value.is_nan() for value in values)
