"""A real promtool and a real Prometheus give the known totals back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from ledger.pricing.prices import PriceBook
from metrics import proxy as m
from metrics.family import MetricFamily
from simulator.errors import OutputError
from simulator.history.counting import count
from simulator.history.history import History, generate
from simulator.history.plan import days
from simulator.history.scrapes import Scrapes
from simulator.history.totals import KINDS
from tests.support.seeded import backfill, blocks

DAYS = ("2026-03-02", "2026-03-03", "2026-03-04")
RESTART = datetime(2026, 3, 3, 10, 21, 45, tzinfo=UTC)
GAP = (datetime(2026, 3, 4, 12, tzinfo=UTC), datetime(2026, 3, 4, 13, tzinfo=UTC))
FAMILIES = (m.REQUESTS, m.ACCOUNT_REQUESTS, m.COST, m.TOKENS, m.LATENCY, m.ERRORS)


@dataclass(frozen=True, slots=True)
class Seeded:
    """A Prometheus that holds a history: as it was, and once more with a restart and a gap."""

    url: str
    history: History
    torn: Scrapes


@pytest.fixture(scope="module")
def seeded(
    book: PriceBook,
    binary: Callable[[str], str],
    running_prometheus: Callable[..., AbstractContextManager[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Seeded]:
    history = generate(days(date(2026, 3, 2), 3, requests_per_day=400), book)
    plan = history.plan
    data = tmp_path_factory.mktemp("tsdb")
    whole = Scrapes(plan.start, plan.end, 120, job="whole")
    torn = Scrapes(plan.start, plan.end, 120, job="torn", restarts=(RESTART,), gaps=(GAP,))
    for scrapes, families in ((whole, FAMILIES), (torn, (m.REQUESTS, m.COST))):
        backfill(count(history.events, scrapes, book, families), data, binary("promtool"))
    with running_prometheus("", data) as url:
        yield Seeded(url, history, torn)


@pytest.fixture
def ask(seeded: Seeded) -> Callable[[str, str], dict[str, float]]:
    """Asks for an instant vector; its values by their one label."""

    def ask(query: str, at: str) -> dict[str, float]:
        url = f"{seeded.url}/api/v1/query?" + urlencode({"query": query, "time": at})
        with urlopen(url, timeout=30) as got:
            rows = json.load(got)["data"]["result"]
        return {"".join(r["metric"].values()): float(r["value"][1]) for r in rows}

    return ask


def per_day(family: MetricFamily | str, by: str, job: str = "whole") -> str:
    """What a counter rose by in the day before the query's time; a second longer than a day, because
    newer versions of Prometheus leave out the sample at a range's very beginning."""
    return f'sum by ({by}) (increase({family}{{job="{job}"}}[86401s]))'


Ask = Callable[[str, str], dict[str, float]]
NEARLY = 2e-5
"""What that second adds to a day."""


def midnights() -> list[tuple[str, str]]:
    """Each day and the midnight that ends it."""
    ends = (date.fromisoformat(day) + timedelta(days=1) for day in DAYS)
    return [(day, f"{end}T00:00:00Z") for day, end in zip(DAYS, ends, strict=True)]


@pytest.mark.parametrize(("day", "midnight"), midnights())
def test_requests_per_day(seeded: Seeded, ask: Ask, day: str, midnight: str) -> None:
    truth = seeded.history.totals
    by_status = {s: truth.count(day=day, status=s) for s in ("success", "error", "cancelled")}
    assert ask(per_day(m.REQUESTS, "status"), midnight) == pytest.approx(by_status, rel=NEARLY)
    by_model = {w.model: truth.count(day=day, model=w.model) for w in seeded.history.plan.workloads}
    got = ask(per_day(m.REQUESTS, "model"), midnight)
    assert {model: got[model] for model in by_model} == pytest.approx(by_model, rel=NEARLY)


@pytest.mark.parametrize(("day", "midnight"), midnights())
def test_cost_per_day(seeded: Seeded, ask: Ask, day: str, midnight: str) -> None:
    want = float(seeded.history.totals.cost_by_day[day].usd)
    assert ask(per_day(m.COST, ""), midnight)[""] == pytest.approx(want, rel=NEARLY)


def test_counters_end_exactly_at_the_totals(seeded: Seeded, ask: Ask) -> None:
    end = "2026-03-05T00:00:00Z"
    truth = seeded.history.totals
    tokens = {kind: truth.token_count(kind) for kind in KINDS}
    assert ask(f'sum by (kind) ({m.TOKENS}{{job="whole"}})', end) == tokens
    assert ask(f'sum({m.COST}{{job="whole"}})', end)[""] == pytest.approx(float(truth.cost.usd), rel=1e-12)
    by_account: dict[str, int] = {}
    for event in seeded.history.events:
        by_account[event.account_id] = by_account.get(event.account_id, 0) + 1
    assert ask(f'sum by (account_id) ({m.ACCOUNT_REQUESTS}{{job="whole"}})', end) == by_account


def test_histograms_hold_every_latency(seeded: Seeded, ask: Ask) -> None:
    latencies = [e.latency_ms for e in seeded.history.events if e.status != "cancelled"]
    got = ask(f'sum by (le) ({m.LATENCY.bucket}{{job="whole"}})', "2026-03-05T00:00:00Z")
    want = {b: sum(x <= b for x in latencies) for b in m.LATENCY.buckets}
    assert {float(le): n for le, n in got.items()} == {**want, float("inf"): len(latencies)}
    total = ask(f'sum({m.LATENCY.sum}{{job="whole"}})', "2026-03-05T00:00:00Z")[""]
    assert total == pytest.approx(sum(latencies))


def test_every_series_begins_at_zero(seeded: Seeded, ask: Ask) -> None:
    first = ask(f'sum by (job) ({m.REQUESTS}{{job="whole"}})', f"{DAYS[0]}T00:00:00Z")
    assert first == {"whole": 0}
    series = ask(f'count({m.REQUESTS}{{job="whole"}})', f"{DAYS[0]}T00:00:00Z")
    assert series == ask(f'count({m.REQUESTS}{{job="whole"}})', "2026-03-05T00:00:00Z")


def test_a_restart_loses_what_no_scrape_has_seen(seeded: Seeded, ask: Ask) -> None:
    scrapes = seeded.torn
    day = [e for e in seeded.history.events if e.requested_at.date().isoformat() == DAYS[1]]
    seen = [e for e in day if scrapes.seen(e.requested_at) is not None]
    lost = [e for e in day if RESTART - timedelta(seconds=105) <= e.requested_at < RESTART]
    assert len(seen) == len(day) - len(lost) < len(day)
    got = ask(per_day(m.REQUESTS, "", "torn"), "2026-03-04T00:00:00Z")
    assert got[""] == pytest.approx(len(seen), rel=NEARLY)
    resets = f"max by (job) (resets({m.REQUESTS}[1d]))"
    assert ask(resets, "2026-03-04T00:00:00Z") == {"whole": 0, "torn": 1}


def test_a_gap_has_no_samples_and_loses_nothing(seeded: Seeded, ask: Ask) -> None:
    in_the_gap = f"sum by (job) (count_over_time({m.COST}[59m30s]))"
    assert set(ask(in_the_gap, "2026-03-04T12:59:45Z")) == {"whole"}
    assert set(ask(in_the_gap, "2026-03-04T13:30:00Z")) == {"whole", "torn"}
    got = ask(per_day(m.REQUESTS, "", "torn"), "2026-03-05T00:00:00Z")
    assert got[""] == pytest.approx(seeded.history.totals.count(day=DAYS[2]), rel=NEARLY)


def test_blocks_cover_every_scrape_once(book: PriceBook) -> None:
    start = datetime(2026, 3, 2, 5, 7, tzinfo=UTC)
    scrapes = Scrapes(start, start + timedelta(hours=50), 60)
    parts = list(blocks(count([], scrapes, book, FAMILIES)))
    assert [tick for part in parts for tick in part] == list(range(scrapes.count))
    assert len(parts) == 4
    assert all(scrapes.at(p.start).timestamp() % 64_800 == 0 for p in parts[1:])


def test_a_missing_promtool_is_named(book: PriceBook, tmp_path: Path) -> None:
    scrapes = Scrapes(RESTART, RESTART + timedelta(hours=1))
    with pytest.raises(OutputError, match=r"cannot run no-such-promtool.*apt-get install prometheus"):
        backfill(count([], scrapes, book, FAMILIES), tmp_path, "no-such-promtool")


def test_a_refusal_of_promtool_is_told(book: PriceBook, tmp_path: Path, binary: Callable[[str], str]) -> None:
    file = tmp_path / "a file, not a folder"
    file.touch()
    scrapes = Scrapes(RESTART, RESTART + timedelta(hours=1))
    with pytest.raises(OutputError, match="promtool refuses"):
        backfill(count([], scrapes, book, (m.BUFFER_DROPPED,)), file, binary("promtool"))
