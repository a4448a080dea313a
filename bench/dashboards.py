"""What opening a dashboard costs a Prometheus: samples loaded, by its own query statistics."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.dashboard_series import DAY, HOUR, fill, recorded, scraped
from bench.processes import free_port
from dashboards.build import dashboards
from dashboards.preview.grafana_time import Ask, View, asks
from metrics import recorded as names
from prometheus.config import RuleConfig

ACCOUNTS = 1_000
FEW = (20, 40)
"""Without rules a thousand accounts do not fit into a benchmark: two small fleets give the straight line."""

MOST = 2_000_000
"""Samples that opening any dashboard may load."""

CONFIG = RuleConfig(scrape_interval=timedelta(seconds=60))
CHOICES = {"model": ".*", "api": ".*", "account": ".*", "top": "20", "least": "5"}
ONE_ACCOUNT = {"activity": {"account": "acc-00001"}}


@dataclass(frozen=True, slots=True)
class Cost:
    """Samples that a panel loads, with our recording rules and without."""

    dashboard: str
    panel: str
    ruled: int
    raw: int


def measure(accounts: int = ACCOUNTS, few: tuple[int, int] = FEW) -> list[Cost]:
    """Every panel and every annotation of every dashboard, at its default time range."""
    now = datetime(2026, 9, 10, 15, 20, 30, tzinfo=UTC)
    with filled(accounts, 2 * HOUR, now) as url:
        ruled = counts(url, now, unruled=False)
    small = []
    for number in few:
        with filled(number, DAY + HOUR, now) as url:
            small.append(counts(url, now, unruled=True))
    return [Cost(*key, ruled[key], line(few, (small[0][key], small[1][key]), accounts)) for key in ruled]


def line(at: tuple[int, int], values: tuple[int, int], wanted: int) -> int:
    """Where the straight line through two points is at a third."""
    slope = (values[1] - values[0]) / (at[1] - at[0])
    return round(values[0] + slope * (wanted - at[0]))


def counts(url: str, now: datetime, *, unruled: bool) -> Mapping[tuple[str, str], int]:
    """Samples by dashboard and panel."""
    found = {}
    for name, dashboard in dashboards(CONFIG).items():
        view = View(
            now, scrape_interval=CONFIG.scrape_interval, variables=CHOICES | ONE_ACCOUNT.get(name, {})
        )
        for panel in (*dashboard["panels"], *marks(dashboard)):
            asked = [] if panel["type"] == "row" else asks(panel, view, 800)
            if asked:
                found[name, panel["title"]] = sum(loaded(url, ask, unruled) for ask in asked)
    return found


def marks(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Annotations, as panels."""
    for mark in dashboard["annotations"]["list"]:
        if "expr" in mark:
            yield {"type": "mark", "title": f"({mark['name']})", "targets": [mark["target"]]}


def loaded(url: str, ask: Ask, unruled: bool) -> int:
    """Samples of one query."""
    form = {"query": without_rules(ask.expr) if unruled else ask.expr, "stats": "all"}
    if ask.instant:
        form["time"] = f"{ask.end.timestamp()}"
    else:
        form |= {"start": f"{ask.start.timestamp()}", "end": f"{ask.end.timestamp()}"}
        form["step"] = f"{ask.step.total_seconds()}"
    path = "query" if ask.instant else "query_range"
    request = urllib.request.Request(f"{url}/api/v1/{path}", urllib.parse.urlencode(form).encode())
    with urllib.request.urlopen(request, timeout=300) as answer:
        return int(json.load(answer)["data"]["stats"]["samples"]["totalQueryableSamples"])


def without_rules(expr: str) -> str:
    """The same question to what was scraped."""
    sources = {
        names.COST.name: "codex_lb_proxy_cost_usd_total",
        names.MARKS.name: "codex_lb_lb_mark_total",
        names.RESETS.name: "codex_lb_secondary_resets_total",
    }
    for recorded_name, source in sources.items():
        expr = expr.replace(recorded_name, source)
    for hourly in names.HOURLY:
        expr = re.sub(rf"sum_over_time\({hourly.name.name}\b", f"increase({hourly.source.name}", expr)
    return expr


@contextmanager
def filled(accounts: int, raw: timedelta, now: datetime) -> Iterator[str]:
    """The address of a Prometheus with such a fleet."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        fill(data, [*scraped(raw), *recorded()], accounts, now, "promtool")
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


def table(costs: list[Cost]) -> str:
    """A line for each panel, and for each dashboard its sum."""
    lines = [f"{'samples loaded':>50}{'with rules':>14}{'without':>14}"]
    for name in dict.fromkeys(cost.dashboard for cost in costs):
        mine = [cost for cost in costs if cost.dashboard == name]
        lines += [f"{cost.panel:>50}{cost.ruled:>14,}{cost.raw:>14,}" for cost in mine]
        ruled, raw = sum(cost.ruled for cost in mine), sum(cost.raw for cost in mine)
        verdict = "" if ruled <= MOST else f"  more than {MOST:,}"
        lines.append(f"{'= ' + name:>50}{ruled:>14,}{raw:>14,}{verdict}")
    return "\n".join(lines)
