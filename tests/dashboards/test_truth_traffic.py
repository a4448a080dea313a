"""Routing, keys, tokens, one account's hours and the pipeline, asked of a real Prometheus, equal what the
history says.

Tolerance: a rate is exact between the scrapes that it saw. `increase` answers at least what was counted
between the first and the last scrape of its window, and at most that much extrapolated to the whole window:
`between.increase`, and `between.by_minute` where the window is read once a minute. Gauges have none.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil
from typing import Any

import pytest

from dashboards.preview.grafana_time import Ask, substitute
from dashboards.preview.source import Series, fetch
from dashboards.queries.activity import ALL
from ledger.pricing.prices import PriceBook
from ledger.values import RequestEvent
from metrics.proxy import LATENCY_MS_BUCKETS, SCORE_BUCKETS
from simulator.failures import error_class
from simulator.history.exporting import BYTES
from simulator.history.fleet import FLEET
from simulator.history.history import UNPRICED_MODEL, History
from simulator.history.scrapes import Scrapes
from simulator.history.seeded import MARKS, score
from simulator.history.totals import spend_of, token_counts
from tests.support.seeded import LOST

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
EPOCH = datetime.fromtimestamp(0, UTC)
MINUTE = timedelta(minutes=1)
WINDOW = timedelta(minutes=15, seconds=15)
"""Of rates, over 24 hours."""

HISTOGRAMS = timedelta(minutes=30, seconds=15), timedelta(minutes=5)
"""The window of their quantiles over 24 hours, and how far apart it is read."""

PLANS = {account.id: account.plan_type for account in FLEET}
NAMES = {account.id: account.email for account in FLEET} | {"acc-dmitri": "acc-dmitri"}
ANNA = "acc-anna"

Asked = Callable[..., list[list[Series]]]
Label = Callable[[RequestEvent], str | None]


def one(answers: list[list[Series]]) -> dict[str, Series]:
    """The series of a panel with one query, by name."""
    (series,) = answers
    return {each.name: each for each in series}


def tokens(event: RequestEvent) -> tuple[int, int]:
    """Prompt and completion, as keys are counted: where the answer was a success with usage."""
    counted = event.billable and event.http_status == 200
    return token_counts(event)[:2] if counted else (0, 0)


def refused(event: RequestEvent) -> str | None:
    """The class of an error that is held against the account."""
    kind = error_class(event.error_code) if event.status == "error" else None
    return kind if kind in MARKS else None


def unpriced(event: RequestEvent) -> str | None:
    """Why a success has no price."""
    if event.status != "success":
        return None
    if event.usage.input_tokens is None:
        return "missing_usage"
    return "unknown_pricing" if event.model == UNPRICED_MODEL else None


@pytest.mark.parametrize(
    ("dashboard", "title", "label", "per"),
    [
        ("routing", "Selections by pool and outcome", lambda e: "full: selected", 1),
        ("routing", "Marks by event", lambda e: MARKS.get(refused(e) or ""), 1),
        ("routing", "Retries by error class", refused, 1),
        ("routing", "Unpriced by reason", unpriced, 1),
        ("api-keys", "Requests by key", lambda e: e.api_key_id, 1),
        ("pipeline", "HTTP answers by status", lambda e: str(e.http_status), 1),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_events_flow_as_counted(
    dashboard: str, title: str, label: Label, per: int, asked: Asked, between: Any, scrapes: Scrapes
) -> None:
    """`per` is 60 where the panel counts by the second. Marks are recorded every minute, so what a window
    saw may be what scrapes told one minute earlier."""
    found = one(asked(dashboard, title))
    checked = 0
    for name, series in found.items():
        for at, value in series.points[1:]:
            events, minutes = between.read(at, WINDOW)
            if title == "HTTP answers by status":  # each scrape is read
                events, minutes = between.events(at, WINDOW), between.minutes(at, WINDOW)
            exact = sum(label(event) == name for event in events) / minutes / per
            if title == "Marks by event":
                wide = sum(label(e) == name for e in between.events(at, WINDOW + 2 * scrapes_apart(scrapes)))
                assert 0 <= value <= wide / (minutes - 3) / per + 1e-9
            else:
                assert value == pytest.approx(exact, abs=1e-9)
            checked += value > 0
    assert checked > 5


def scrapes_apart(scrapes: Scrapes) -> timedelta:
    return timedelta(seconds=scrapes.interval_seconds)


def test_marks_add_up_over_the_day(asked: Asked, between: Any, now: datetime) -> None:
    """By the minute at points a quarter of an hour apart: the sum is about the number of marks."""
    found = one(asked("routing", "Marks by event"))
    marked = Counter(MARKS.get(refused(event) or "") for event in between.events(now, DAY))
    assert set(found) == {event for event in marked if event}
    for name, series in found.items():
        total = sum(value for _, value in series.points) * 15
        # A mark in the minute and a quarter by which windows overlap counts twice, some at the edges not.
        assert total == pytest.approx(marked[name], rel=0.15, abs=2)


def test_the_tier_share_is_the_plans_share(asked: Asked, between: Any) -> None:
    found = one(asked("routing", "Selected tier share"))
    assert set(found) == set(PLANS.values())
    for name, series in found.items():
        for at, value in series.points:
            plans = [PLANS[event.account_id] for event in between.read(at, WINDOW)[0]]
            assert value == pytest.approx(plans.count(name) / len(plans))


def test_tier_scores_lie_in_the_right_bucket(asked: Asked, between: Any) -> None:
    """Of the true 95th, or of the measurement next to it: see the quantiles of the Overview."""
    accounts = {account.id: account for account in FLEET}
    checked = 0
    for name, series in one(asked("routing", "Tier score p95")).items():
        for at, value in series.points[12:]:
            chosen = [e for e in between.read(at, *HISTOGRAMS)[0] if PLANS[e.account_id] == name]
            if scores := sorted(score(accounts[e.account_id], e) for e in chosen):
                check_bucket(value, scores, SCORE_BUCKETS)
                checked += 1
    assert checked > 50


def test_http_quantiles_lie_in_the_right_bucket(asked: Asked, between: Any) -> None:
    bounds = tuple(ms / 1_000 for ms in LATENCY_MS_BUCKETS)
    (series,) = one(asked("pipeline", "HTTP duration p95")).values()
    for at, value in series.points[12:]:
        events = [e for e in between.read(at, *HISTOGRAMS)[0] if e.status != "cancelled"]
        if events:
            check_bucket(value, sorted(event.latency_ms / 1_000 for event in events), bounds)


def check_bucket(value: float, values: list[float], bounds: tuple[float, ...]) -> None:
    edges = (0.0, *bounds)
    rank = ceil(0.95 * len(values)) - 1
    low, high = (values[max(0, rank - 1)], values[min(len(values) - 1, rank + 1)])
    below = edges[bisect_left(edges, low) - 1]
    above = edges[min(bisect_left(edges, high), len(edges) - 1)]
    assert below - 1e-12 <= value <= above + 1e-12


def test_permanent_failures_stand_in_their_hours(asked: Asked, between: Any) -> None:
    found = one(asked("routing", "Permanent failures by code"))
    assert set(found) == {"invalid_api_key"}
    for at, value in found["invalid_api_key"].points:
        assert at.minute == at.second == 0
        counted = sum(event.error_code == "invalid_api_key" for event in between.events(at, HOUR))
        assert counted > 0
        assert value == between.increase(at, HOUR, counted)


@pytest.mark.parametrize(
    ("title", "label"), [("Retries by account", refused), ("Unpriced by account", unpriced)]
)
def test_recorded_hours_by_account(
    title: str, label: Label, asked: Asked, between: Any, now: datetime
) -> None:
    """Hours end where Prometheus puts them, the same for every account. `increase` extrapolates what each
    hour's scrapes counted to the hour, and not beyond a series' beginning at 0."""
    found = {name: series.last for name, series in one(asked("routing", title)).items()}
    assert len(found) > 1  # how many had some in a day depends on the hour
    assert any(fits(found, label, between, now - timedelta(minutes=shift)) for shift in range(60))
    assert not any(fits(found, label, between, now - timedelta(hours=hour)) for hour in (4, 8, 12))


def fits(found: dict[str, float], label: Label, between: Any, end: datetime) -> bool:
    """Whether these are the counts of the 24 hours before, each hour with the scrapes that it saw."""
    hours = [end - number * HOUR for number in range(24)]
    counted = Counter(e.account_id for at in hours for e in between.events(at, HOUR) if label(e))
    most = max(60 / between.minutes(at, HOUR) for at in hours) * (1 + 1e-9)
    named = {NAMES[account]: number for account, number in counted.items()}
    return set(found) == set(named) and all(named[n] - 1e-6 <= v <= named[n] * most for n, v in found.items())


def test_the_snapshot_is_as_old_as_its_last_scrape(asked: Asked, now: datetime, scrapes: Scrapes) -> None:
    (series,) = one(asked("routing", "Age of the accounts' snapshot")).values()
    (at, age) = series.points[-1]
    since = (at - scrapes.start) % scrapes_apart(scrapes)
    assert age == pytest.approx(4 + since.total_seconds(), abs=1)


@pytest.mark.parametrize(
    ("dashboard", "title"), [("routing", "Usage refresh failures"), ("api-keys", "Refused by budget")]
)
def test_what_never_happened_is_empty(dashboard: str, title: str, asked: Asked) -> None:
    assert asked(dashboard, title) == [[]]


# API keys and tokens


def by_key(events: list[RequestEvent], amount: Callable[[RequestEvent], int]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for event in events:
        sums[event.api_key_id] += amount(event)
    return sums


@pytest.mark.parametrize(
    ("dashboard", "title", "amount"),
    [
        ("api-keys", "API Key Usage", lambda e: 1),
        ("tokens", "Total Tokens Used by API Key", lambda e: sum(tokens(e))),
    ],
    ids=["requests", "pie"],
)
def test_totals_by_key(
    dashboard: str,
    title: str,
    amount: Callable[[RequestEvent], int],
    asked: Asked,
    between: Any,
    now: datetime,
) -> None:
    (series,) = asked(dashboard, title)
    assert {s.name: s.last for s in series} == {
        key: between.by_minute(now, DAY, lambda events, key=key: by_key(events, amount)[key])
        for key in by_key(between.read(now, DAY, MINUTE)[0], amount)
    }
    values = [s.last for s in series]
    assert values == sorted(values, reverse=True)


def test_prompt_against_completion(asked: Asked, between: Any, now: datetime) -> None:
    counted = [tokens(event) for event in between.events(now, DAY)]
    wider = [tokens(event) for event in between.events(now, DAY + timedelta(minutes=3))]
    prompt, completion = (answer[0].last for answer in asked("tokens", "Prompt vs Completion Tokens"))
    # Recorded each minute: the first recorded value is that of the scrape before the window.
    for found, kind in ((prompt, 0), (completion, 1)):
        assert sum(c[kind] for c in counted) <= found <= sum(c[kind] for c in wider) * 1_440 / 1_438


def test_output_for_input_by_key(asked: Asked, between: Any, now: datetime) -> None:
    events, _ = between.read(now, DAY)
    prompt, completion = by_key(events, lambda e: tokens(e)[0]), by_key(events, lambda e: tokens(e)[1])
    found = one(asked("tokens", "Input/Output Token Ratio by API Key"))
    assert {name: s.last for name, s in found.items()} == {
        key: pytest.approx(completion[key] / prompt[key]) for key in prompt
    }


@pytest.mark.parametrize(
    ("dashboard", "title"),
    [("api-keys", "Prompt vs Completion Tokens"), ("tokens", "Token Usage Over Time")],
)
def test_tokens_a_minute(dashboard: str, title: str, asked: Asked, between: Any) -> None:
    amounts: dict[str, Callable[[RequestEvent], int]] = {
        "Prompt Tokens": lambda e: tokens(e)[0],
        "Completion Tokens": lambda e: tokens(e)[1],
        "Tokens per minute": lambda e: sum(tokens(e)),
    }
    for (series,) in asked(dashboard, title):
        for at, value in series.points[1:]:
            events, minutes = between.read(at, WINDOW)
            assert value == pytest.approx(sum(map(amounts[series.name], events)) / minutes, abs=1e-9)


def test_short_keys_as_a_share(asked: Asked, between: Any) -> None:
    (series,) = one(asked("api-keys", "Short or missing keys")).values()
    for at, value in series.points:
        keys = [event.api_key_id for event in between.read(at, WINDOW)[0]]
        assert value == pytest.approx(keys.count("short_key") / len(keys), abs=1e-9)
    assert any(value > 0 for _, value in series.points)


# One account, hour by hour


def how_many(wanted: Callable[[RequestEvent], bool], events: list[RequestEvent]) -> int:
    return sum(map(wanted, events))


def tokens_of_anna(number: Callable[[Any], float], events: list[RequestEvent]) -> float:
    return sum(number(token_counts(e)) for e in events if e.account_id == ANNA and e.billable)


def of_anna(amount: Callable[[RequestEvent], float], events: list[RequestEvent]) -> float:
    return sum(amount(event) for event in events if event.account_id == ANNA)


@pytest.mark.parametrize(
    ("title", "label"),
    [
        ("Requests per hour", lambda e: e.status),
        ("Errors per hour", lambda e: error_class(e.error_code) if e.status == "error" else None),
        ("Unpriced per hour", unpriced),
    ],
    ids=["requests", "errors", "unpriced"],
)
def test_an_accounts_hours(title: str, label: Label, asked: Asked, between: Any) -> None:
    bars = 0
    for series in (s for answer in asked("activity", title, account=ANNA) for s in answer):
        for at, value in series.points:
            assert at.minute == at.second == 0
            counts = partial(how_many, lambda e: e.account_id == ANNA and label(e) == series.name)  # noqa: B023
            assert value == between.by_minute(at, HOUR, counts)
            bars += value > 0
    assert bars > 1


def test_an_accounts_cost_and_tokens(asked: Asked, between: Any, prices: PriceBook) -> None:
    ((cost,),) = asked("activity", "Cost per hour (USD)", account=ANNA)
    (fresh,), (cached,), (written,), (output,) = asked("activity", "Tokens per hour", account=ANNA)
    assert len(cost.points) == 25
    for place, (at, usd) in enumerate(cost.points):
        spent = partial(of_anna, lambda e: float(spend_of(e, prices).usd))
        assert usd == between.by_minute(at, HOUR, spent)
        for series, number in (
            (fresh, lambda c: c[0] - c[2] - c[3]),
            (cached, lambda c: c[2]),
            (written, lambda c: c[3]),
            (output, lambda c: c[1]),
        ):
            assert series.points[place][1] == between.by_minute(at, HOUR, partial(tokens_of_anna, number))


def test_an_accounts_quota(asked: Asked, history: History, scrapes: Scrapes) -> None:
    """Of one account there are its own lines, and no means, which would lie on them."""
    *lines, mean_short, mean_week = asked("activity", "Quota used", account=ANNA)
    assert mean_short == mean_week == []
    for answer, window in zip(lines, ("primary", "secondary"), strict=True):
        (series,) = answer
        for at, value in series.points[::8]:
            seen = scrapes.at((at - scrapes.start) // scrapes_apart(scrapes))
            told = [
                s.used_percent
                for s in history.samples
                if s.account_id == ANNA and s.window == window and s.recorded_at < seen
            ]
            assert value == told[-1]


@pytest.mark.parametrize(
    ("title", "label"),
    [
        ("Requests per hour", lambda e: e.status),
        ("Errors per hour", lambda e: e.error_code),
        ("Unpriced per hour", unpriced),
    ],
    ids=["requests", "errors", "unpriced"],
)
def test_the_hours_of_all_traffic(title: str, label: Label, asked: Asked, between: Any) -> None:
    for series in (s for answer in asked("activity", title, account=ALL) for s in answer):
        for at, value in series.points:
            counts = partial(how_many, lambda e: label(e) == series.name)  # noqa: B023
            assert value == between.by_minute(at, HOUR, counts)


def test_cost_and_quota_of_all_traffic(asked: Asked, between: Any, prices: PriceBook) -> None:
    ((cost,),) = asked("activity", "Cost per hour (USD)", account=ALL)
    for at, usd in cost.points:
        assert usd == between.by_minute(at, HOUR, lambda es: sum(float(spend_of(e, prices).usd) for e in es))
    each, _, _, mean = asked("activity", "Quota used", account=ALL)
    assert each == []
    (used,) = asked("accounts", "Mean use of the week")
    assert mean[0].points[-1][1] == pytest.approx(used[0].last, abs=2)
    spent, worth = asked("activity", "Cost of the week against the implied quota (USD)", account=ALL)
    mine = [
        asked("activity", "Cost of the week against the implied quota (USD)", account=a.id) for a in FLEET
    ]
    for place, whole in enumerate((spent, worth)):
        parts = sum(panel[place][0].points[-1][1] for panel in mine if panel[place])
        assert whole[0].points[-1][1] == pytest.approx(parts)


# Recorded hours: they end where Prometheus puts them, so they are those of some minute of the hour.


def hourly_sums(between: Any, now: datetime, amount: Callable[[RequestEvent], dict[str, float]]) -> Any:
    """What was counted in 24 hours by label, for each minute at which they may end, with how far each is
    extrapolated at most."""
    for shift in range(60):
        ends = [now - timedelta(minutes=shift, hours=hour) for hour in range(24)]
        sums: Counter[str] = Counter()
        for end in ends:
            for event in between.events(end, HOUR):
                for key, number in amount(event).items():
                    sums[key] += number  # type: ignore[assignment]
        yield sums, max(60 / between.minutes(end, HOUR) for end in ends)


def fit_some_hours(found: dict[str, float], between: Any, now: datetime, amount: Any) -> bool:
    return any(
        found.keys() == {key for key, number in sums.items() if number}
        and all(
            sums[key] * (1 - 1e-9) <= value <= sums[key] * more * (1 + 1e-9) for key, value in found.items()
        )
        for sums, more in hourly_sums(between, now, amount)
    )


def test_all_about_each_key(asked: Asked, between: Any, now: datetime, prices: PriceBook) -> None:
    answers = [{s.labels["api_key"]: s.last for s in answer} for answer in asked("api-keys", "Keys")]
    cost, part, requests, prompt, completion, errors, failed, seen = answers
    amounts: tuple[Callable[[RequestEvent], float], ...] = (
        lambda e: float(spend_of(e, prices).usd),
        lambda e: 1,
        lambda e: tokens(e)[0],
        lambda e: tokens(e)[1],
        lambda e: e.status == "error",
    )
    for column, amount in zip((cost, requests, prompt, completion, errors), amounts, strict=True):
        assert fit_some_hours(column, between, now, lambda e, a=amount: {e.api_key_id: a(e)})
    assert part == {key: pytest.approx(value / sum(cost.values())) for key, value in cost.items()}
    assert failed == {key: pytest.approx(value / requests[key]) for key, value in errors.items()}
    for key, seconds in seen.items():
        last = max(e.requested_at for e in between.events(now, DAY) if e.api_key_id == key)
        assert -180 <= (now - last).total_seconds() - seconds <= 25 * 60


@pytest.mark.parametrize(
    ("dashboard", "title", "label"),
    [
        ("overview", "Cost by key (USD)", lambda e: e.api_key_id),
        ("overview", "Cost by project (USD)", lambda e: e.project),
        ("api-keys", "Models of each key", lambda e: f"{e.api_key_id} {e.model}"),
    ],
    ids=["key", "project", "model"],
)
def test_cost_by_who_and_what(
    dashboard: str, title: str, label: Label, asked: Asked, between: Any, now: datetime, prices: PriceBook
) -> None:
    found = {name: s.last for name, s in one(asked(dashboard, title)).items()}
    assert len(found) > 3

    def amount(event: RequestEvent) -> dict[str, float]:
        name = label(event)
        return {name: float(spend_of(event, prices).usd)} if name else {}

    assert fit_some_hours(found, between, now, amount)


def test_tokens_of_each_key_in_full_hours(asked: Asked, between: Any, now: datetime) -> None:
    found = {name: s.last for name, s in one(asked("api-keys", "Token Usage by API Key")).items()}
    assert len(found) > 3
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert fit_some_hours(found, between, now, lambda e: {e.api_key_id: sum(tokens(e))})


def test_every_selection_found_an_account(asked: Asked, between: Any, now: datetime) -> None:
    """In this history: a refusal comes after the choice."""
    ((share,),) = asked("routing", "Found an account")
    assert share.last == 1
    found = {s.labels["account_id"]: s.last for s in asked("routing", "Requests by chosen account")[0]}
    assert fit_some_hours(found, between, now, lambda e: {e.account_id: 1})


# The pipeline


def test_the_pipeline_says_what_prometheus_and_the_services_said(asked: Asked) -> None:
    """Made in tests/support/seeded.py: two hours unscraped, an hour of a full buffer, seven lost."""
    assert {series.last for series in one(asked("pipeline", "Targets")).values()} == {1.0}
    for series in one(asked("pipeline", "Successful scrapes")).values():
        failed = [at for at, value in series.points if value == 0]
        assert timedelta(hours=1.5) <= failed[-1] - failed[0] <= timedelta(hours=2)
    assert {s.last for s in one(asked("pipeline", "Scrape duration")).values()} == {0.012}
    assert {s.last for s in one(asked("pipeline", "Samples per scrape")).values()} == {431.0}
    (waiting,), (room,) = asked("pipeline", "Waiting for the ledger")
    assert {value for _, value in room.points} == {500.0}
    assert {value for _, value in waiting.points} == {2.0, 500.0, 0.0}
    assert 3 <= sum(value == 500 for _, value in waiting.points) <= 5


def test_the_last_scrape_and_the_ledgers_size(
    asked: Asked, scrapes: Scrapes, now: datetime, history: History
) -> None:
    last = scrapes.at(scrapes.count - 1)
    for series in one(asked("pipeline", "Since the last scrape")).values():
        assert series.last == pytest.approx((now - last).total_seconds(), abs=1)
    ((size,),) = asked("pipeline", "Ledger size")
    at = size.points[-1][0]
    looked = scrapes.at((at - scrapes.start) // scrapes_apart(scrapes))
    assert size.last == sum(scrapes.start <= e.requested_at < looked for e in history.events) * BYTES
    assert asked("pipeline", "Firing alerts") == [[]]


@pytest.mark.parametrize(("title", "peak"), [("Waiting for the ledger", 500), ("Waiting in the inbox", 40)])
def test_a_peak_of_an_hour_is_seen_in_a_month(asked: Asked, title: str, peak: float) -> None:
    (series, *_) = asked("pipeline", title, start="now-30d")[0]
    assert max(value for _, value in series.points) == peak


def test_lost_requests_are_counted(asked: Asked, between: Any, now: datetime) -> None:
    (requests,), (entries,) = asked("pipeline", "Dropped")
    assert requests.last == between.increase(now, DAY, LOST)
    assert entries.last == 0


def test_collectors(asked: Asked) -> None:
    found = {name: s.last for name, s in one(asked("pipeline", "Collectors")).items()}
    assert found == {"accounts": 1, "windows": 1, "spend": 0}
    found = {name: s.last for name, s in one(asked("pipeline", "Collector duration")).items()}
    assert found == {"accounts": 0.004, "windows": 0.02, "spend": 0.5}


def test_the_ledger_is_behind_by_the_pause_since_the_last_request(
    asked: Asked, history: History, scrapes: Scrapes
) -> None:
    ((series,),) = asked("pipeline", "Ledger behind traffic")
    ends = [event.requested_at for event in history.events]
    step = series.points[1][0] - series.points[0][0]
    for at, behind in series.points[::6]:
        # The most that it was in the step, looked at each full minute.
        full = at - (at - EPOCH) % MINUTE
        minutes = [full - n * MINUTE for n in range(step // MINUTE + 1)]
        pauses = []
        for minute in minutes:
            seen = scrapes.at((minute - scrapes.start) // scrapes_apart(scrapes))
            pauses.append((minute - ends[bisect_left(ends, seen) - 1]).total_seconds())
        # Prometheus 3 leaves out the minute at which the step begins.
        most = {round(max(pauses), 1), round(max(pauses[:-1]), 1)}
        assert round(behind, 1) in most


def test_annotations_are_where_it_happened(
    built: dict[str, Any], seeded: str, scrapes: Scrapes, history: History
) -> None:
    """Each stands within its window after the first scrape that could tell, recorded within a minute. Grafana
    makes the window as long as the step and a scrape."""
    step = timedelta(minutes=5)
    marks = {m["name"]: m for m in built["overview"]["annotations"]["list"]}
    (restart,) = scrapes.restarts
    around = restart - timedelta(hours=6)
    start = around.replace(minute=0, second=0)
    window = {"__rate_interval": "6m", "__range_s": "345600"}
    ask = Ask(substitute(marks["Restarts of the proxy"]["expr"], window), start, start + DAY, step, False, "")
    (series,) = fetch(seeded, ask)
    assert all(restart <= at <= restart + timedelta(minutes=15) for at, _ in series.points)
    ask = Ask(
        substitute(marks["Quota resets"]["expr"], window), start - DAY, start + 3 * DAY, step, False, ""
    )
    (series,) = fetch(seeded, ask)
    told = [
        s
        for s in history.samples
        if s.window == "secondary" and start - DAY < s.recorded_at < start + 3 * DAY
    ]
    ends = {(s.account_id, s.reset_at) for s in told}
    resets = len(ends) - len({account for account, _ in ends})
    began = [at for at, _ in series.points if at - step not in {other for other, _ in series.points}]
    assert len(began) == resets > 1
