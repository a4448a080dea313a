"""What opening a dashboard costs a Prometheus: samples loaded, by its own query statistics."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.scenes.dashboard_series import fill, recorded, scraped
from bench.scenes.processes import free_port
from dashboards.build import dashboards
from dashboards.preview.grafana_time import Ask, View, asks
from dashboards.queries.activity import ALL
from prometheus.config import RuleConfig

ACCOUNTS = 1_000
FEW = (20, 40)
"""A thousand accounts over a week do not fit into a benchmark; samples grow with accounts in a straight line,
so two small fleets tell."""

MOST = 2_000_000
"""Samples that opening any dashboard at seven days may load."""

CONFIG = RuleConfig()
RESOLUTIONS = {
    "now-24h": {"fine": "1m", "resolution": "2m", "coarse": "5m"},
    "now-7d": {"fine": "5m", "resolution": "15m", "coarse": "1h"},
}
CHOICES = {"model": ".*", "api": ".*", "account": ".*", "top": "20", "least": "5"}
ALL_TRAFFIC = {"activity": {"account": ALL}}


@dataclass(frozen=True, slots=True)
class Cost:
    """Samples that a panel loads when the dashboard shows so much; 30 days by the straight line through the
    others."""

    dashboard: str
    panel: str
    day: int
    week: int

    @property
    def month(self) -> int:
        """At 30 days."""
        return max(self.week, line((1, 7), (self.day, self.week), 30))


def measure(accounts: int = ACCOUNTS, few: tuple[int, int] = FEW) -> list[Cost]:
    """Every panel and every annotation of every dashboard."""
    now = datetime(2026, 9, 10, 15, 20, 30, tzinfo=UTC)
    found: list[Mapping[str, Mapping[tuple[str, str], int]]] = []
    for number in few:
        with filled(number, now) as url:
            found.append({start: counts(url, now, start) for start in ("now-24h", "now-7d")})
    small, large = found
    return [
        Cost(*key, *(line(few, (small[start][key], large[start][key]), accounts) for start in small))
        for key in small["now-24h"]
    ]


def line(at: tuple[int, int], values: tuple[int, int], wanted: int) -> int:
    """Where the straight line through two points is at a third."""
    slope = (values[1] - values[0]) / (at[1] - at[0])
    return round(values[0] + slope * (wanted - at[0]))


def counts(url: str, now: datetime, start: str) -> Mapping[tuple[str, str], int]:
    """Samples by dashboard and panel."""
    found = {}
    for name, dashboard in dashboards(CONFIG).items():
        chosen = CHOICES | ALL_TRAFFIC.get(name, {}) | RESOLUTIONS[start]
        view = View(now, start, scrape_interval=CONFIG.scrape_interval, variables=chosen)
        for panel in (*dashboard["panels"], *marks(dashboard)):
            asked = [] if panel["type"] == "row" else asks(panel, view, 800)
            if asked:
                found[name, panel["title"]] = sum(loaded(url, ask) for ask in asked)
    return found


def marks(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Annotations, as panels."""
    for mark in dashboard["annotations"]["list"]:
        if "expr" in mark:
            yield {"type": "mark", "title": f"({mark['name']})", "targets": [mark["target"]]}


def loaded(url: str, ask: Ask) -> int:
    """Samples of one query."""
    form = {"query": ask.expr, "stats": "all"}
    if ask.instant:
        form["time"] = f"{ask.end.timestamp()}"
    else:
        form |= {"start": f"{ask.start.timestamp()}", "end": f"{ask.end.timestamp()}"}
        form["step"] = f"{ask.step.total_seconds()}"
    path = "query" if ask.instant else "query_range"
    request = urllib.request.Request(f"{url}/api/v1/{path}", urllib.parse.urlencode(form).encode())
    with urllib.request.urlopen(request, timeout=300) as answer:
        return int(json.load(answer)["data"]["stats"]["samples"]["totalQueryableSamples"])


@contextmanager
def filled(accounts: int, now: datetime) -> Iterator[str]:
    """The address of a Prometheus with such a fleet."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        built = json.dumps(dashboards(CONFIG)).replace('\\"', '"')
        fill(data, [*scraped(built), *recorded()], accounts, now, "promtool")
        Path(folder, "p.yml").write_text("")
        port = free_port()
        command = ["prometheus", f"--config.file={folder}/p.yml", f"--storage.tsdb.path={data}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=100y"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield ready(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(30)


def ready(url: str) -> str:
    """The address, once it answers."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=1):
                return url
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    raise SystemExit(f"{url} does not become ready")


def over_budget(costs: list[Cost]) -> list[str]:
    """Dashboards that need more samples at seven days than they may."""
    names = dict.fromkeys(cost.dashboard for cost in costs)
    return [name for name in names if sum(c.week for c in costs if c.dashboard == name) > MOST]


def table(costs: list[Cost]) -> str:
    """A line for each panel, and for each dashboard its sum."""
    lines = [f"{'samples loaded':>52}{'24 h':>12}{'7 d':>12}{'30 d':>12}"]
    for name in dict.fromkeys(cost.dashboard for cost in costs):
        mine = [cost for cost in costs if cost.dashboard == name]
        lines += [f"{c.panel:>52}{c.day:>12,}{c.week:>12,}{c.month:>12,}" for c in mine]
        day, week, month = (sum(getattr(c, at) for c in mine) for at in ("day", "week", "month"))
        verdict = "" if week <= MOST else f"  more than {MOST:,}"
        lines.append(f"{'= ' + name:>52}{day:>12,}{week:>12,}{month:>12,}{verdict}")
    return "\n".join(lines)
