"""What the dashboards' tests share: the dashboards as built, and a real Prometheus with a known history."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dashboards.build import dashboards
from ledger.prices import PriceBook, book, load_seed
from prometheus.build import RECORDING_FILE, files, write
from prometheus.config import RuleConfig
from prometheus.scrape import Targets
from proxy.metrics import COST, LATENCY, REQUESTS, TIME_TO_FIRST_TOKEN, TOKENS, UNPRICED
from simulator.backfill import backfill
from simulator.counting import count
from simulator.history import History, generate
from simulator.plan import days
from simulator.scrapes import Scrapes

FIRST = datetime(2026, 8, 30, 0, 0, 17, tzinfo=UTC)
"""The first scrape. As in life, none falls on a midnight."""

NOW = datetime(2026, 9, 10, 15, 20, tzinfo=UTC)
INTERVAL = timedelta(minutes=3)
RESTART = NOW.replace(hour=3) - timedelta(days=4)


@pytest.fixture(scope="session")
def built() -> dict[str, Any]:
    """Every dashboard's JSON by name."""
    return dict(dashboards(RuleConfig()))


@pytest.fixture(scope="session")
def now() -> datetime:
    """From here the dashboards are looked at."""
    return NOW


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
    """The URL of a real Prometheus that holds what a proxy counted until now, with a restart on the way,
    and what our rules record of it. Histograms, which are most of the series, begin yesterday."""
    folder = tmp_path_factory.mktemp("prometheus")
    data, promtool = folder / "data", binary("promtool")
    counters, histograms = (REQUESTS, COST, TOKENS, UNPRICED), (LATENCY, TIME_TO_FIRST_TOKEN)
    yesterday = replace(
        scrapes, start=NOW.replace(hour=14, minute=0, second=17) - timedelta(days=1), restarts=()
    )
    for when, families in ((scrapes, counters), (yesterday, histograms)):
        backfill(count(history.events, when, prices, families), data, promtool)
    with running_prometheus("", data) as url:
        record(promtool, url, data, folder)
    # Blocks written beside a running server are seen at its next start.
    with running_prometheus("", data) as url:
        yield url


def record(promtool: str, url: str, data: Path, folder: Path) -> None:
    """Evaluate our recording rules over the whole history."""
    write(files(RuleConfig(), Targets("127.0.0.1:8787", "127.0.0.1:8789")), folder)
    command = [promtool, "tsdb", "create-blocks-from", "rules", f"--url={url}", f"--output-dir={data}"]
    command += [f"--start={FIRST.isoformat()}", f"--end={NOW.isoformat()}", "--eval-interval=1m"]
    subprocess.run([*command, folder / RECORDING_FILE], check=True, capture_output=True, timeout=120)
