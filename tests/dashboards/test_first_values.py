"""Panels that add up over the range count what a new series begins with: the first request of a new key."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dashboards.build import dashboards
from dashboards.preview.grafana_time import View, asks
from dashboards.preview.source import fetch
from metrics.proxy import API_KEY_REQUESTS, BUDGET_HITS, KEY_TOKENS
from prometheus.config import RuleConfig

pytestmark = pytest.mark.slow

NOW = datetime(2026, 9, 10, 15, 0, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BUILT = dashboards(RuleConfig())
PANELS = {
    ("api-keys", "API Key Usage"): API_KEY_REQUESTS,
    ("api-keys", "Refused by budget"): BUDGET_HITS,
    ("tokens", "Total Tokens Used by API Key"): KEY_TOKENS,
}
OLD, YOUNG = ("127.0.0.1:1", 26 * 3_600), ("127.0.0.1:2", 5 * 3_600)
"""Proxies, and for how many seconds they have been scraped."""

KEYS = {
    "old": (OLD, 26 * 3_600, (40, 47)),
    "new": (OLD, 4 * 3_600, (3, 5)),
    "once": (OLD, 2 * 3_600, (1, 1)),
    "unknown before": (YOUNG, 5 * 3_600, (90, 92)),
}
"""By key: its proxy, since when it is there, with which value it began, and which it has had for an hour."""

ROSE = {"old": 7, "new": 5, "once": 1, "unknown before": 2}


def text() -> Iterator[str]:
    yield "# TYPE up gauge\n"
    for instance, age in (OLD, YOUNG):
        yield from samples(f'up{{job="quotascope-proxy",instance="{instance}"}}', age, (1, 1))
    for family in PANELS.values():
        name = family.name.removesuffix("_total")
        yield f"# TYPE {name} counter\n"
        for key, ((instance, _), age, values) in KEYS.items():
            own = f'job="quotascope-proxy",instance="{instance}",api_key="{key}"'
            period = ',period="day"' if "period" in family.labels else ""
            yield from samples(f"{family.name}{{{own}{period}}}", age, values)
    yield "# EOF\n"


def samples(series: str, age: int, values: tuple[int, int]) -> Iterator[str]:
    for ago in range(age, -1, -15):
        at = NOW - ago * SECOND
        yield f"{series} {values[ago < 3_600]} {at.timestamp():.0f}\n"


@pytest.fixture(scope="module")
def url(
    binary: Callable[[str], str],
    running_prometheus: Callable[..., AbstractContextManager[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("first")
    written: Path = folder / "samples.txt"
    written.write_text("".join(text()), encoding="utf-8")
    command = [binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    command += ["--max-block-duration=162h", str(written), str(folder / "data")]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    with running_prometheus("", folder / "data") as running:
        yield running


@pytest.mark.parametrize(("start", "fine"), [("now-6h", "15s"), ("now-24h", "1m")])
@pytest.mark.parametrize(("dashboard", "title"), PANELS)
def test_the_first_request_of_a_new_key_counts(
    url: str, dashboard: str, title: str, start: str, fine: str
) -> None:
    """What a proxy had counted before it was scraped at all need not have happened in the range."""
    (panel,) = (p for p in BUILT[dashboard]["panels"] if p["title"] == title)
    (ask,) = asks(panel, View(NOW, start, variables={"fine": fine}), 800)
    found = {series.labels["api_key"]: series.last for series in fetch(url, ask)}
    assert found == {key: pytest.approx(number, abs=0.1) for key, number in ROSE.items()}
