from __future__ import annotations

from collections import Counter
from datetime import date

from ledger.pricing.files import book, load_seed
from metrics import proxy as m
from simulator.failures import error_class
from simulator.history.history import generate
from simulator.history.plan import days
from simulator.history.seeded import MARKS, steps

PRICES = book(load_seed())
HISTORY = generate(days(date(2026, 9, 1), 2, requests_per_day=400), PRICES)
STEPS = [(event, list(steps(event, PRICES))) for event in HISTORY.events]


def test_every_request_is_one_selection_with_the_tier_of_its_plan() -> None:
    plans = {account.id: account.plan_type for account in HISTORY.plan.accounts}
    for event, made in STEPS:
        selected, tier, scored = made[:3]
        assert selected.labels == ("full", "memory", "false", "selected")
        assert tier.labels[-1] == scored.labels[-1] == plans[event.account_id]
        assert 1e-7 < scored.amount < 1 / 60 + 1e-9


def test_what_is_held_against_an_account_is_marked_and_tried_again() -> None:
    marks = Counter(step.labels[0] for _, made in STEPS for step in made if step.family == m.LB_MARK)
    failed = Counter(error_class(e.error_code) for e in HISTORY.events if e.status == "error")
    assert marks == {MARKS[kind]: number for kind, number in failed.items() if kind in MARKS}
    retries = sum(step.family == m.RETRIES for _, made in STEPS for step in made)
    assert retries == sum(marks.values()) > 5
