"""Accounts and quota, asked of a real Prometheus, equals what the history says.

Gauges have no tolerance: a panel shows the last value that was scraped. What is added up from recorded hours
is compared with the same 24 hours shifted by less than one: recorded hours end where Prometheus puts them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from dashboards.preview.source import Series
from ledger.pricing.prices import PriceBook
from ledger.values import RequestEvent
from simulator.history.exporting import WEEK_CREDITS, Exporter
from simulator.history.fleet import FLEET, SimulatedAccount
from simulator.history.history import History
from simulator.history.quota import UsageSample, cycle_start
from simulator.history.scrapes import Scrapes
from simulator.history.totals import spend_of

HOUR = timedelta(hours=1)
BY_ID = {account.id: account for account in FLEET}
Asked = Callable[..., list[list[Series]]]


def name(account_id: str) -> str:
    """What a panel calls an account: one of them has no identity."""
    return account_id if account_id == "acc-dmitri" else BY_ID[account_id].email


@pytest.fixture(scope="module")
def last_scrape(scrapes: Scrapes) -> datetime:
    return scrapes.at(scrapes.count - 1)


@pytest.fixture(scope="module")
def week(history: History, last_scrape: datetime) -> Mapping[str, UsageSample]:
    """The last sample of each account's weekly window."""
    return latest(history, last_scrape, "secondary")


def latest(history: History, before: datetime, window: str) -> dict[str, UsageSample]:
    return {s.account_id: s for s in history.samples if s.window == window and s.recorded_at < before}


def credits(sample: UsageSample) -> float:
    capacity = WEEK_CREDITS[BY_ID[sample.account_id].plan_type]
    return capacity * (100 - sample.used_percent) / 100


def waste(sample: UsageSample, now: datetime) -> float:
    """Credits left over at the reset, at the mean speed since the window began."""
    ahead = sample.reset_at - now.timestamp()
    behind = sample.window_minutes * 60 - ahead
    capacity = WEEK_CREDITS[BY_ID[sample.account_id].plan_type]
    used = capacity * sample.used_percent / 100
    return max(0.0, capacity - used - used / behind * ahead)


def over(sample: UsageSample, now: datetime) -> float:
    """The part of the week that is over."""
    return 1 - (sample.reset_at - now.timestamp()) / (sample.window_minutes * 60)


def dry_in(sample: UsageSample, now: datetime) -> float | None:
    """Seconds until nothing is left at the mean speed so far; None where the reset comes before."""
    if not sample.used_percent:
        return None
    behind = over(sample, now) * sample.window_minutes * 60
    seconds = behind * (100 - sample.used_percent) / sample.used_percent
    return seconds if seconds < sample.reset_at - now.timestamp() else None


def spent(history: History, prices: PriceBook, account: SimulatedAccount, before: datetime) -> float:
    """US dollars of the account's week."""
    start = cycle_start(account, before)
    mine = (e for e in history.events if e.account_id == account.id and start <= e.requested_at < before)
    return sum(float(spend_of(event, prices).usd) for event in mine)


def shown(answers: list[list[Series]]) -> dict[str, float]:
    """The names and values of a panel with one query."""
    (series,) = answers
    assert len({one.name for one in series}) == len(series)
    return {one.name: one.last for one in series}


def test_used_percent_ranked_and_by_name(asked: Asked, week: Mapping[str, UsageSample]) -> None:
    (series,) = asked("accounts", "Used of the week")
    assert {one.name: one.last for one in series} == {name(a): s.used_percent for a, s in week.items()}
    values = [one.last for one in series]
    assert values == sorted(values, reverse=True)


def test_the_top_is_as_many_as_one_asks_for(asked: Asked, week: Mapping[str, UsageSample]) -> None:
    ranked = sorted(((s.used_percent, a) for a, s in week.items()), reverse=True)
    found = shown(asked("accounts", "Used of the week", top="2"))
    assert found == {name(a): used for used, a in ranked[:2]}
    assert set(shown(asked("accounts", "Used of the week", account="acc-ben|acc-eve"))) == {
        name("acc-ben"),
        name("acc-eve"),
    }


def test_remaining_credits(asked: Asked, week: Mapping[str, UsageSample]) -> None:
    found = shown(asked("accounts", "Remaining credits of the week"))
    assert found == {name(a): pytest.approx(credits(s)) for a, s in week.items()}


@pytest.mark.parametrize("least", [5, 20])
def test_implied_quota_of_those_that_moved_enough(
    least: int,
    asked: Asked,
    history: History,
    prices: PriceBook,
    week: Mapping[str, UsageSample],
    last_scrape: datetime,
    exporter: Exporter,
) -> None:
    found = shown(asked("accounts", "Implied quota of the week (USD)", least=str(least)))
    enough = {a: s for a, s in week.items() if s.used_percent >= least and a not in exporter.suppressed}
    assert 0 < len(enough) < len(week) - len(exporter.suppressed)
    assert set(found) == {name(a) for a in enough}
    for a, sample in enough.items():
        worth = spent(history, prices, BY_ID[a], last_scrape) * 100 / sample.used_percent
        assert found[name(a)] == pytest.approx(worth)
        # What the provider rounds to whole points, and what passed since its last sample.
        assert worth == pytest.approx(BY_ID[a].week_usd, rel=1.5 / sample.used_percent)


def test_suppressed_estimates_say_why(
    asked: Asked, week: Mapping[str, UsageSample], exporter: Exporter
) -> None:
    ((row,),) = asked("accounts", "Suppressed estimates")
    assert row.labels == {"account_id": "acc-eve", "display": name("acc-eve"), "reason": "mid_cycle_jump"}
    assert exporter.suppressed == {"acc-eve": "mid_cycle_jump"}
    assert row.last == week["acc-eve"].used_percent


def test_the_reset_cliff(asked: Asked, week: Mapping[str, UsageSample], now: datetime) -> None:
    days = {a: int((s.reset_at - now.timestamp()) // 86_400) for a, s in week.items()}
    counts = [only(answer) for answer in asked("accounts", "Reset cliff: accounts")]
    numbers = Counter(days.values())
    assert counts == [numbers[day] for day in range(7)]
    assert len([n for n in counts if n]) > 3
    left = [only(answer) for answer in asked("accounts", "Reset cliff: credits")]
    for day, total in enumerate(left):
        assert total == pytest.approx(sum(credits(week[a]) for a, d in days.items() if d == day))


def test_waste_now_and_pacing(asked: Asked, week: Mapping[str, UsageSample], now: datetime) -> None:
    expected = {name(a): waste(s, now) for a, s in week.items()}
    found = shown(asked("accounts", "Projected waste (credits)"))
    assert found == {a: pytest.approx(value) for a, value in expected.items() if value > 0.5}
    assert 0 < len(found) < len(expected)


def test_pacing_at_every_moment(asked: Asked, history: History, scrapes: Scrapes, now: datetime) -> None:
    """Accounts whose window has ended, with no word of the next one, waste nothing."""
    (left,), (wasted,) = asked("accounts", "Waste pacing")
    assert len(left.points) == len(wasted.points) > 20
    for (at, credit), (_, gone) in list(zip(left.points, wasted.points, strict=True))[::3]:
        seen = scrapes.at((at - scrapes.start) // timedelta(seconds=scrapes.interval_seconds))
        week = latest(history, seen, "secondary").values()
        assert credit == pytest.approx(sum(credits(s) for s in week))
        running = [s for s in week if s.reset_at > at.timestamp()]
        assert gone == pytest.approx(sum(waste(s, at) for s in running))


def test_all_accounts_together(
    asked: Asked, history: History, week: Mapping[str, UsageSample], last_scrape: datetime, now: datetime
) -> None:
    def number(title: str) -> float:
        ((series,),) = asked("accounts", title)
        return series.last

    samples = week.values()
    assert number("Mean use of the week") == pytest.approx(sum(s.used_percent for s in samples) / len(week))
    assert number("Credits left of the week") == pytest.approx(sum(map(credits, samples)))
    assert number("Credits that will be left over") == pytest.approx(sum(waste(s, now) for s in samples))
    dry = [seconds for s in samples if (seconds := dry_in(s, now)) is not None]
    assert [s.last for s in asked("accounts", "First account runs out in")[0]] == (
        [pytest.approx(min(dry))] if dry else []
    )
    short = latest(history, last_scrape, "primary")
    assert number("Short windows used up") == sum(s.used_percent >= 95 for s in short.values())
    assert shown(asked("accounts", "Used of the short window")) == {
        name(a): s.used_percent for a, s in short.items()
    }
    (used,), (even,) = asked("accounts", "Used against an even pace")
    assert used.points[-1][1] == pytest.approx(number("Mean use of the week"), abs=2)
    assert even.points[-1][1] == pytest.approx(100 * sum(over(s, now) for s in samples) / len(week), abs=0.2)


def test_the_risk_table(
    asked: Asked,
    history: History,
    prices: PriceBook,
    week: Mapping[str, UsageSample],
    last_scrape: datetime,
    now: datetime,
) -> None:
    columns = [{one.labels["account_id"]: one.last for one in answer} for answer in risk(asked)]
    used, short, ahead, reset, ends, left, wasted, cost, _ = columns
    assert used == {a: s.used_percent for a, s in week.items()}
    assert short == {a: s.used_percent for a, s in latest(history, last_scrape, "primary").items()}
    assert reset == {a: pytest.approx(s.reset_at - now.timestamp()) for a, s in week.items()}
    assert ahead == {a: pytest.approx(s.used_percent - 100 * over(s, now)) for a, s in week.items()}
    assert ends == {a: pytest.approx(value) for a, s in week.items() if (value := dry_in(s, now)) is not None}
    assert left == {a: pytest.approx(credits(s)) for a, s in week.items()}
    assert wasted == {a: pytest.approx(waste(s, now)) for a, s in week.items()}
    assert cost == {a: pytest.approx(spent(history, prices, BY_ID[a], last_scrape)) for a in week}


def test_every_usage_window_with_the_most_used_first(
    asked: Asked, history: History, last_scrape: datetime, now: datetime
) -> None:
    """Short and long ones are ranked together; the second column says when those same windows reset."""
    windows = {
        (id, label): sample
        for window, label in (("primary", "5h"), ("secondary", "7d"))
        for id, sample in latest(history, last_scrape, window).items()
    }
    used, reset = (
        {(s.labels["account_id"], s.labels["window"]): s for s in answer}
        for answer in asked("accounts", "Usage windows", top="7")
    )
    assert {key: s.last for key, s in used.items()} == {key: windows[key].used_percent for key in used}
    assert len(used) == 7
    assert min(s.last for s in used.values()) >= max(
        s.used_percent for k, s in windows.items() if k not in used
    )
    ahead = {key: windows[key].reset_at - now.timestamp() for key in used}
    assert {key: s.last for key, s in reset.items()} == {
        key: pytest.approx(seconds) for key, seconds in ahead.items() if seconds > 0
    }
    assert {s.labels["display"] for s in used.values()} == {name(id) for id, _ in used}


def risk(asked: Asked, **variables: str) -> list[list[Series]]:
    return asked("accounts", "Accounts at risk", **variables)


def test_the_risk_table_has_the_same_accounts_in_every_column(asked: Asked) -> None:
    chosen = [{one.labels["account_id"] for one in answer} for answer in risk(asked, top="2")]
    assert chosen[0] == chosen[1] == chosen[2] == chosen[3]
    assert len(chosen[0]) == 2
    assert all(column <= chosen[0] for column in chosen)


@pytest.mark.parametrize("least", ["1", "20"])
def test_the_risk_table_and_the_panel_agree_on_what_a_week_is_worth(asked: Asked, least: str) -> None:
    """Of an account that has used one percent, rounding alone would decide."""
    worth = {one.labels["display"]: one.last for one in risk(asked, top="20", least=least)[-1]}
    assert worth == shown(asked("accounts", "Implied quota of the week (USD)", least=least))


def test_accounts_by_status(asked: Asked) -> None:
    assert shown(asked("accounts", "Accounts by status")) == {"active": len(FLEET)}


def test_traffic_of_the_last_minutes(asked: Asked, between: Any, now: datetime, prices: PriceBook) -> None:
    window = timedelta(minutes=5)
    events, minutes = between.events(now, window), between.minutes(now, window)
    requests = Counter(event.account_id for event in events)
    found = shown(asked("accounts", "Requests by account"))
    assert found == {name(a): pytest.approx(number / minutes) for a, number in requests.items()}
    costs = {
        a: sum(float(spend_of(e, prices).usd) for e in events if e.account_id == a) / minutes * 60
        for a in requests
    }
    found = shown(asked("accounts", "Cost per hour by account (USD)"))
    assert found == {name(a): pytest.approx(value) for a, value in costs.items() if value}


def test_cost_and_errors_from_recorded_hours(
    asked: Asked, between: Any, prices: PriceBook, now: datetime
) -> None:
    """One shift fits all accounts. `increase` extrapolates what each hour's scrapes counted to the hour, and
    not beyond a series' beginning at 0: it is at least what was counted, at most that much by the hour."""
    costs = shown(asked("accounts", "Cost by account (USD)"))
    ratios = shown(asked("accounts", "Error rate by account"))
    assert set(costs) == set(ratios) == {name(a) for a in BY_ID}
    fitting = []
    for shift in range(60):
        ends = [now - timedelta(minutes=shift, hours=hour) for hour in range(24)]
        hours = [(between.events(end, HOUR), 60 / between.minutes(end, HOUR)) for end in ends]
        if all(fits(a, hours, prices, costs[name(a)], ratios[name(a)]) for a in BY_ID):
            fitting.append(shift)
    assert fitting


def fits(
    account: str, hours: list[tuple[list[RequestEvent], float]], prices: PriceBook, cost: float, ratio: float
) -> bool:
    """Whether cost and error ratio are those of some hours, each with how far it is extrapolated."""
    mine = [([e for e in events if e.account_id == account], more) for events, more in hours]
    usd = sum(more * sum(float(spend_of(e, prices).usd) for e in events) for events, more in mine)
    whole = sum(more * len(events) for events, more in mine)
    failed = sum(more * sum(e.status == "error" for e in events) for events, more in mine)
    most = max(more for _, more in hours) * (1 + 1e-9)
    return usd / most <= cost <= usd * (1 + 1e-9) and 1 / most <= ratio / (failed / whole) <= most


def only(answer: list[Series]) -> float:
    (series,) = answer
    return series.last
