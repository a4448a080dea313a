"""What the dashboards' tests share: the dashboards as built, and a real Prometheus with a known history."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from dashboards.build import dashboards
from dashboards.preview.grafana_time import View, asks
from dashboards.preview.source import Series as Answer
from dashboards.preview.source import fetch
from ledger.pricing.files import book, load_seed
from ledger.pricing.prices import PriceBook
from ledger.values import RequestEvent
from prometheus.config import RuleConfig
from simulator.history.exporting import Exporter
from simulator.history.history import History, generate
from simulator.history.plan import days
from simulator.history.scrapes import Scrapes
from simulator.history.totals import Totals, totals
from tests.support.seeded import backfill, everything, record

FIRST = datetime(2026, 8, 30, 0, 0, 17, tzinfo=UTC)
"""The first scrape. As in life, none falls on a midnight."""

NOW = datetime(2026, 9, 10, 15, 20, tzinfo=UTC)
INTERVAL = timedelta(minutes=3)
RESTART = NOW.replace(hour=3) - timedelta(days=4)
EXPORTER = Exporter(
    unnamed=frozenset({"acc-dmitri"}),
    suppressed={"acc-eve": "mid_cycle_jump"},
    collectors={"accounts": 0.004, "windows": 0.02, "spend": -0.5},
)


@pytest.fixture(scope="session")
def built() -> dict[str, Any]:
    """Every dashboard's JSON by name."""
    return dict(dashboards(RuleConfig()))


@pytest.fixture(scope="session")
def now() -> datetime:
    """From here the dashboards are looked at."""
    return NOW


@pytest.fixture(scope="session")
def exporter() -> Exporter:
    """What is true of the exporter."""
    return EXPORTER


@pytest.fixture(scope="session")
def scrapes() -> Scrapes:
    """When the proxy was scraped."""
    return Scrapes(FIRST, NOW, int(INTERVAL.total_seconds()), restarts=(RESTART,))


@pytest.fixture(scope="session")
def prices() -> PriceBook:
    """The prices that the history was priced with."""
    return book(load_seed())


@pytest.fixture(scope="session")
def history(prices: PriceBook) -> History:
    """Twelve days of requests."""
    return generate(days(date(2026, 8, 30), 12), prices)


@pytest.fixture(scope="session")
def seeded(
    history: History,
    prices: PriceBook,
    scrapes: Scrapes,
    binary: Callable[[str], str],
    running_prometheus: Callable[..., AbstractContextManager[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The URL of a real Prometheus that holds what a proxy and an exporter said until now, with a restart
    on the way, and what our rules record of it. Histograms, which are most of the series, begin yesterday."""
    folder = tmp_path_factory.mktemp("prometheus")
    data, promtool = folder / "data", binary("promtool")
    for counted in everything(history, scrapes, prices, EXPORTER):
        backfill(counted, data, promtool, hours=162)
    with running_prometheus("", data) as url:
        record(promtool, url, data, folder, FIRST, NOW)
    # Blocks written beside a running server are seen at its next start.
    with running_prometheus("", data) as url:
        yield url


class Between:
    """What was counted between the first and the last scrape of the window that ends at a moment."""

    def __init__(self, history: History, scrapes: Scrapes, prices: PriceBook) -> None:
        self._events, self._scrapes, self._prices = history.events, scrapes, prices
        self._ends = [event.requested_at for event in history.events]
        self._every = timedelta(seconds=scrapes.interval_seconds)

    def __call__(self, at: datetime, window: timedelta) -> Totals:
        return totals(self.events(at, window), self._prices)

    def events(self, at: datetime, window: timedelta) -> list[RequestEvent]:
        """In their order."""
        first, last = self.edges(at, window)
        return list(self._events[bisect_left(self._ends, first) : bisect_left(self._ends, last)])

    def minutes(self, at: datetime, window: timedelta) -> float:
        """From the first scrape to the last."""
        first, last = self.edges(at, window)
        return (last - first) / timedelta(minutes=1)

    def edges(self, at: datetime, window: timedelta) -> tuple[datetime, datetime]:
        """The first and the last scrape."""
        start = self._scrapes.start
        first = start - (start - (at - window)) // self._every * self._every
        return first, start + (at - start) // self._every * self._every

    def read(
        self, at: datetime, window: timedelta, every: timedelta = timedelta(minutes=2)
    ) -> tuple[list[RequestEvent], float]:
        """What was counted between the scrapes before the first and the last moment of the window at which
        rates are read, by default each even minute, and how many minutes lie between these two."""
        last = at - (at - datetime.fromtimestamp(0, UTC)) % every
        first = last - (last - (at - window)) // every * every
        start = self._scrapes.start
        edges = [start + (moment - start) // self._every * self._every for moment in (first, last)]
        return self.events(edges[1], edges[1] - edges[0]), (last - first) / timedelta(minutes=1)

    def by_minute(
        self, at: datetime, window: timedelta, counted: Callable[[list[RequestEvent]], float]
    ) -> Any:
        """What `increase` may answer where the window is read once a minute: what was counted between the
        scrapes before its first and its last minute, and at most that much extrapolated to the window."""
        events, minutes = self.read(at, window, timedelta(minutes=1))
        return _Span(counted(events), counted(events) * (window / timedelta(minutes=1)) / minutes)

    def increase(self, at: datetime, window: timedelta, counted: float) -> Any:
        """What `increase` may answer where so much was counted: at least that, and at most as if the edges
        of the window, which no scrape saw, had been as busy as the rest."""
        return _Span(counted, counted * (window / timedelta(minutes=1)) / self.minutes(at, window))


class _Span:
    """Equals every number from low to high."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and self._low * (1 - 1e-9) <= other <= self._high * (1 + 1e-9)

    def __repr__(self) -> str:
        return f"{self._low:g} to {self._high:g}"


@pytest.fixture(scope="session")
def between(history: History, scrapes: Scrapes, prices: PriceBook) -> Between:
    """Events by the scrapes around them."""
    return Between(history, scrapes, prices)


@pytest.fixture(scope="session")
def asked(built: dict[str, Any], seeded: str, now: datetime) -> Callable[..., list[list[Answer]]]:
    """The answers to each target of a panel, asked of Prometheus as Grafana would."""
    everything = {"model": ".*", "api": ".*", "account": ".*", "top": "20", "least": "5"}
    everything |= {"resolution": "2m", "coarse": "5m", "fine": "1m"}

    def ask(
        name: str, title: str, at: datetime = now, start: str = "now-24h", **variables: str
    ) -> list[list[Answer]]:
        (panel,) = (p for p in built[name]["panels"] if p["title"] == title)
        view = View(at, start, variables=everything | variables, replayed=True)
        return [fetch(seeded, one) for one in asks(panel, view, 800)]

    return ask
