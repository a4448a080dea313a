"""The selection: never an account that is out, always one that is in, and each by its share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count, repeat
from math import log
from random import Random
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_benchmark.fixture import BenchmarkFixture

from ledger.quota.samples import Told
from proxy.routing.candidate import Candidate, standing
from proxy.routing.router import Router
from proxy.routing.score import Weights, score, share, tier_of
from proxy.routing.selection import Selection, select, spread
from proxy.routing.snapshot import snapshot
from tests.support.examples import examples

if TYPE_CHECKING:
    from tests.proxy.routing.conftest import Stand

PLANS = ("pro", "plus", "team", "free", "api")
MakeCandidate = Callable[..., Candidate]
NOW = 1_800_000_000.0
WEIGHTS = Weights()

WINDOWS = st.none() | st.tuples(
    st.sampled_from([0.0, 50.0, 99.9, 100.0]), st.sampled_from([-5.0, 0.0, 1.0, 59.0, 3_600.0, 600_000.0])
)
STATUSES = st.sampled_from(
    [
        "active",
        "active",
        "active",
        "rate_limited",
        "quota_exceeded",
        "paused",
        "reauth_required",
        "deactivated",
        "odd",
    ]
)


@st.composite
def fleets(draw: st.DrawFn) -> list[Candidate]:
    """Up to twelve accounts, each in whatever state."""

    def told(window: tuple[float, float] | None) -> Told | None:
        return window and Told(datetime.fromtimestamp(NOW, UTC), window[0], int(NOW + window[1]))

    return [
        Candidate(
            id=f"a{number}",
            plan=draw(st.sampled_from(["pro", "plus", "team", "free", "api", "odd"])),
            status=draw(STATUSES),
            pool=draw(st.sampled_from(["full", "full", "pinned"])),
            reset_at=draw(st.sampled_from([None, int(NOW) - 1, int(NOW), int(NOW) + 60])),
            cooldown_until=draw(st.sampled_from([0.0, NOW, NOW + 0.1, NOW + 60])),
            wait_until=draw(st.sampled_from([0.0, NOW, NOW + 0.1, NOW + 60])),
            usable=draw(st.sampled_from([True, True, False])),
            primary=told(draw(WINDOWS)),
            secondary=told(draw(WINDOWS)),
        )
        for number in range(draw(st.integers(0, 12)))
    ]


DRAWS = st.floats(0, 1, exclude_max=True)
SOME = st.sets(st.integers(0, 13).map(lambda n: f"a{n}"), max_size=3)


@examples(500)
@given(
    accounts=fleets(), draw=DRAWS, tried=SOME, sticky=st.none() | st.integers(0, 13).map(lambda n: f"a{n}")
)
@pytest.mark.slow
def test_an_account_that_is_out_is_never_chosen_and_one_that_is_in_always(
    accounts: list[Candidate], draw: float, tried: set[str], sticky: str | None
) -> None:
    eligible = {a.id for a in accounts if standing(a, NOW) is None} - tried
    resting = {a.id: a.cooldown_until for a in accounts if (s := standing(a, NOW)) and s.soft}
    found = select(snapshot(accounts, WEIGHTS, NOW), draw, sticky=sticky, exclude=tried)
    assert (found.outcome == "selected") == (found.account is not None)
    if found.account is None:
        assert eligible | resting.keys() - tried == set()
    elif eligible:
        assert found.account in eligible
    else:  # who only rests after an error is asked when nobody else is there
        assert resting[found.account] == min(until for name, until in resting.items() if name not in tried)
    pinned = {a.id for a in accounts if a.pool == "pinned"} & eligible
    if eligible and sticky not in eligible:
        assert (found.account in pinned) == bool(pinned)
        assert found.pool == ("pinned" if pinned else "full")
    if sticky in eligible:
        assert found.account == sticky


@examples(200)
@given(accounts=fleets(), draw=DRAWS, tried=SOME, seed=st.integers())
def test_the_order_of_the_accounts_does_not_matter(
    accounts: list[Candidate], draw: float, tried: set[str], seed: int
) -> None:
    shuffled = Random(seed).sample(accounts, len(accounts))
    first, second = (select(snapshot(a, WEIGHTS, NOW), draw, exclude=tried) for a in (accounts, shuffled))
    assert first == second


@examples(60)
@given(accounts=fleets(), start=st.integers(0, 10**6), tried=SOME)
def test_the_load_follows_the_shares(accounts: list[Candidate], start: int, tried: set[str]) -> None:
    taken = snapshot(accounts, WEIGHTS, NOW)
    pool = taken.pools["pinned"].ids if set(taken.pools["pinned"].ids) - tried else taken.pools["full"].ids
    shares = {name: taken.grades[name].share for name in pool if name not in tried}
    if not shares:
        return
    count = 2_000
    loads = Counter(select(taken, spread(start + n), exclude=tried).account for n in range(count))
    for name, own in shares.items():
        expected = count * own / sum(shares.values())
        assert abs(loads[name] - expected) <= 3 + 2 * log(count)  # how evenly the golden ratio spreads


def test_a_retry_spreads_over_all_that_are_left(make_candidate: MakeCandidate) -> None:
    taken = snapshot([make_candidate(f"a{n}") for n in range(6)], WEIGHTS, NOW)
    loads = Counter(select(taken, spread(n), exclude={"a1", "a2"}).account for n in range(4_000))
    assert all(abs(loads[name] - 1_000) <= 10 for name in ("a0", "a3", "a4", "a5"))


def test_the_load_of_equal_resets_is_that_of_the_weights(make_candidate: MakeCandidate) -> None:
    plans = {"p": "pro", "t": "team", "f": "free"}
    taken = snapshot([make_candidate(n, plan=p, week=(10, 9_999)) for n, p in plans.items()], WEIGHTS, NOW)
    loads = Counter(select(taken, spread(n)).account for n in range(22_320))
    assert {name: round(count / 10_000, 2) for name, count in loads.items()} == {
        "p": 1.0,
        "t": 0.72,
        "f": 0.51,
    }


def test_quota_that_is_lost_soon_is_used_first(make_candidate: MakeCandidate) -> None:
    accounts = [make_candidate("soon", week=(10, 3_600)), make_candidate("late", week=(10, 36_000))]
    loads = Counter(select(snapshot(accounts, WEIGHTS, NOW), spread(n)).account for n in range(1_100))
    assert abs(loads["soon"] - 1_000) <= 10


def test_an_unknown_reset_takes_part(make_candidate: MakeCandidate) -> None:
    accounts = [make_candidate("known", week=(10, 6 * 86_400)), make_candidate("unknown")]
    found = [select(snapshot(accounts, WEIGHTS, NOW), spread(n)) for n in range(100)]
    assert {s.account: s.score for s in found}["unknown"] == 0
    assert 30 < sum(s.account == "unknown" for s in found) < 60


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ([], "no_available"),
        (["paused"], "paused"),
        (["reauth_required", "deactivated"], "auth"),
        (["paused", "deactivated"], "paused_or_auth"),
        (["odd"], "unknown"),
    ],
)
def test_why_nobody_is_there(make_candidate: MakeCandidate, statuses: list[str], outcome: str) -> None:
    accounts = [make_candidate(f"a{n}", status=status) for n, status in enumerate(statuses)]
    assert select(snapshot(accounts, WEIGHTS, NOW), 0.5) == Selection(None, "full", outcome)  # type: ignore[arg-type]


def test_the_first_to_come_back_says_why_and_when(make_candidate: MakeCandidate) -> None:
    accounts = [
        make_candidate("a", status="paused"),
        make_candidate("b", week=(100, 7_200)),
        make_candidate("c", status="rate_limited", reset_at=int(NOW) + 30),
        make_candidate("d", hours=(100, 90)),
    ]
    found = select(snapshot(accounts, WEIGHTS, NOW), 0.5)
    assert (found.account, found.outcome, found.retry_at) == (None, "rate_limited", NOW + 30)
    found = select(snapshot(accounts[:2], WEIGHTS, NOW), 0.5)
    assert (found.outcome, found.retry_at) == ("quota_exceeded", NOW + 7_200)
    found = select(snapshot([make_candidate("e", wait_until=NOW + 1)], WEIGHTS, NOW), 0.5)
    assert (found.outcome, found.retry_at) == ("cooldown", NOW + 1)


def test_the_try_in_the_pinned_pool_is_told_too(make_candidate: MakeCandidate) -> None:
    accounts = [make_candidate("p", pool="pinned", status="paused"), make_candidate("f")]
    found = select(snapshot(accounts, WEIGHTS, NOW), 0.5)
    assert (found.account, found.pool) == ("f", "full")
    assert found.before == Selection(None, "pinned", "paused")


def test_who_rests_after_an_error_is_better_than_nobody(make_candidate: MakeCandidate) -> None:
    accounts = [
        make_candidate("asked-to-wait", wait_until=NOW + 1),
        make_candidate("late", cooldown_until=NOW + 30),
        make_candidate("soon", cooldown_until=NOW + 5),
    ]
    taken = snapshot(accounts, WEIGHTS, NOW)
    assert select(taken, 0.5).account == "soon"
    assert select(taken, 0.5, exclude={"soon"}).account == "late"
    assert select(taken, 0.5, exclude={"soon", "late"}).outcome == "cooldown"
    well = snapshot([*accounts, make_candidate("well")], WEIGHTS, NOW)
    assert {select(well, spread(n)).account for n in range(50)} == {"well"}
    assert select(well, 0.5, sticky="soon").account == "well"


def test_when_all_were_tried_none_is_available(make_candidate: MakeCandidate) -> None:
    found = select(
        snapshot([make_candidate("a"), make_candidate("b")], WEIGHTS, NOW), 0.5, exclude={"a", "b"}
    )
    assert (found.account, found.outcome) == (None, "no_available")


def test_a_snapshot_says_how_long_it_holds(make_candidate: MakeCandidate) -> None:
    accounts = [make_candidate("a"), make_candidate("b", wait_until=NOW + 5)]
    taken = snapshot(accounts, WEIGHTS, NOW)
    assert taken.fresh_until == NOW + 5
    assert "b" not in taken.grades
    assert "b" in snapshot(accounts, WEIGHTS, NOW + 5).grades
    assert snapshot(accounts[:1], WEIGHTS, NOW).fresh_until == float("inf")


@pytest.mark.parametrize(
    ("left", "expected"), [(3_600, 1 / 3_600), (60, 1 / 60), (1, 1 / 60), (0, 0.0), (-9, 0.0)]
)
def test_the_score_is_weight_by_time_left(left: int, expected: float) -> None:
    assert score(1.0, int(NOW) + left, NOW) == pytest.approx(expected)


def test_a_share_is_never_nothing() -> None:
    assert score(0.72, None, NOW) == 0
    assert share(0.72, None, NOW) == 0.72 / 604_800


@pytest.mark.parametrize(
    ("plan", "tier"),
    [
        ("pro", "pro"),
        ("Enterprise", "pro"),
        ("free", "free"),
        ("team", "plus"),
        ("business", "plus"),
        ("?", "plus"),
    ],
)
def test_plans_have_tiers(plan: str, tier: str) -> None:
    assert tier_of(plan) == tier


@pytest.fixture
def crowd(stand: Stand) -> Router:
    """A thousand accounts of every plan, each somewhere in its week; the pinned pool has nobody for now."""
    week = [
        Told(datetime.fromtimestamp(NOW, UTC), float(n % 100), int(NOW) + 600 * (n + 1)) for n in range(1_000)
    ]
    members = (
        stand.member(f"a{n}", plan=PLANS[n % len(PLANS)], secondary=told) for n, told in enumerate(week)
    )
    stand.load(stand.member("pin", "paused", pool="pinned"), *members)
    assert len(stand.router.snapshot().grades) == 1_000
    return stand.router


@pytest.mark.benchmark(max_time=0.3)
@pytest.mark.parametrize(
    ("conversations", "tried"),
    [
        pytest.param(repeat(None), set(), id="no conversation"),
        pytest.param(repeat("talk"), set(), id="a conversation that stays"),
        pytest.param(map(str, count()), set(), id="new conversations"),
        pytest.param(repeat("talk"), {"a5", "a500"}, id="a retry"),
    ],
)
@pytest.mark.slow
def test_choosing_among_a_thousand_costs_under_50_microseconds(
    crowd: Router, benchmark: BenchmarkFixture, conversations: Iterator[str | None], tried: set[str]
) -> None:
    """The whole choice as a request has to wait for it, with the try in the pinned pool before it."""

    def choose() -> Selection:
        try:
            crowd.choose(next(conversations), tried).send(None)
        except StopIteration as chosen:
            return cast(Selection, chosen.value)
        pytest.fail("choosing waits for something")

    assert benchmark(choose).outcome == "selected"
    if benchmark.stats is None:
        pytest.skip("beside other processes nothing is measured: run it without -n")
    assert benchmark.stats.stats.median < 50e-6
