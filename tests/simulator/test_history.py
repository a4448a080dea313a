"""Invented history: the same for the same plan, in order, and of the shares that the plan asks for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from itertools import pairwise

import pytest

from ledger.pricing.prices import PriceBook
from proxy.http.routes import route
from simulator.failures import FAILURES
from simulator.history.history import UNPRICED_MODEL, History, generate, requests
from simulator.history.plan import days

SHORT = days(date(2026, 9, 1), 2)


@pytest.mark.slow
def test_the_same_plan_gives_the_same_history(book: PriceBook) -> None:
    assert generate(SHORT, book) == generate(SHORT, book)
    assert generate(SHORT, book).events != generate(replace(SHORT, seed=2), book).events


def test_a_fixed_point_across_versions() -> None:
    """Whoever changes what is drawn changes every number that is charted: let it be on purpose."""
    first = next(requests(SHORT))
    assert (first.model, first.api, first.usage.input_tokens) == (
        "text-embedding-3-small",
        "embeddings",
        1_854,
    )


@pytest.mark.slow
def test_two_weeks_are_as_many_as_planned(history: History) -> None:
    assert len(history.events) == pytest.approx(20_000, rel=0.04)
    assert len({e.id for e in history.events}) == len(history.events)
    assert all(a.requested_at <= b.requested_at for a, b in pairwise(history.events))
    assert history.plan.start <= history.events[0].requested_at
    assert history.events[-1].requested_at < history.plan.end


@pytest.mark.slow
def test_shares_are_as_planned(history: History) -> None:
    count = len(history.events)
    by_status = Counter(e.status for e in history.events)
    assert by_status["error"] / count == pytest.approx(history.plan.errors, rel=0.15)
    assert by_status["cancelled"] / count == pytest.approx(history.plan.cancelled, rel=0.15)
    successes = [e for e in history.events if e.status == "success"]
    unknown = sum(e.model == UNPRICED_MODEL for e in successes)
    missing = sum(e.usage.input_tokens is None for e in successes)
    assert unknown / len(successes) == pytest.approx(history.plan.unknown_model, rel=0.3)
    assert missing / len(successes) == pytest.approx(history.plan.missing_usage, rel=0.3)
    assert history.totals.cost.unpriced_requests == unknown + missing


def test_everybody_has_a_part(history: History) -> None:
    plan = history.plan
    assert {e.account_id for e in history.events} == {a.id for a in plan.accounts}
    assert {e.api_key_id for e in history.events} == set(plan.keys)
    assert {e.model for e in history.events} == {w.model for w in plan.workloads} | {UNPRICED_MODEL}
    assert {e.error_code for e in history.events} == {f.code for f in FAILURES} | {None}
    assert {e.service_tier for e in history.events} == {"default", "priority", "flex", None}


def test_events_agree_with_themselves(history: History) -> None:
    for event in history.events:
        assert (event.status == "success") == (event.error_code is None and event.end_reason == "done")
        assert (event.status == "error") == (event.http_status != 200) == (event.error_message is not None)
        if event.status != "success":
            assert event.usage.input_tokens is None
        if event.latency_first_token_ms is not None:
            assert event.latency_first_token_ms <= event.latency_ms


def test_routes_are_the_proxys(history: History) -> None:
    for api, template in {(e.api, e.route) for e in history.events}:
        found = route("POST", template.removeprefix("/v1"))
        assert (found.api, found.template, found.billable) == (api, template, True)


def test_weekends_are_quiet(history: History) -> None:
    by_day = Counter(e.requested_at.date() for e in history.events)
    assert by_day[date(2026, 9, 6)] < 0.4 * by_day[date(2026, 9, 7)]


def test_a_quiet_plan_is_an_empty_history(book: PriceBook) -> None:
    empty = generate(replace(SHORT, requests_per_day=0), book)
    assert (empty.events, empty.samples, empty.totals.requests) == ((), (), {})
