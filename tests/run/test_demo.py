from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from run.demo import Demo, afterwards, more_facts, plan, preparations, services
from run.demo_folder import DemoFolder, make_anew
from run.errors import PlanError
from run.program import Program
from run.scraper import INSTALL, Prometheus
from settings.load import load

ROOT = Path(__file__).parents[2]


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Demo]:
    """Makes a plan, with or without a Prometheus, and its folder."""

    def make(binaries: Prometheus | None, prometheus: int = 9090) -> Demo:
        folder = DemoFolder(tmp_path / "demo")
        make_anew(
            folder,
            proxy="127.0.0.1:1",
            exporter="127.0.0.1:2",
            console="127.0.0.1:4",
            prometheus="http://127.0.0.1:5",
            upstream="http://127.0.0.1:3",
        )
        addresses = ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:4")
        return Demo(folder, *addresses, 3, prometheus, binaries, days=2, rate=0.5)

    return make


def names(programs: Iterable[Program]) -> list[str]:
    return [program.name for program in programs]


def test_without_a_prometheus_the_demo_says_what_to_install(small: Callable[..., Demo]) -> None:
    demo = small(None)
    settings = load(demo.folder.config, {})
    assert names(preparations(demo)) == ["history", "rules", "dashboards"]
    assert names(services(demo, settings)) == ["upstream", "proxy", "exporter", "console"]
    assert names(afterwards(demo)) == []
    assert more_facts(demo)["prometheus"] == INSTALL


def test_with_one_it_is_filled_before_it_starts(small: Callable[..., Demo]) -> None:
    demo = small(Prometheus("/x/prometheus", "/x/promtool"))
    settings = load(demo.folder.config, {})
    assert names(preparations(demo)) == ["history", "rules", "dashboards", "promtool"]
    assert names(services(demo, settings)) == ["upstream", "proxy", "exporter", "console", "prometheus"]
    assert names(afterwards(demo)) == ["backfill"]
    assert more_facts(demo)["prometheus"] == "http://127.0.0.1:9090"


def test_another_port_is_said(small: Callable[..., Demo]) -> None:
    demo = small(Prometheus("p", "t"), prometheus=9091)
    assert more_facts(demo)["prometheus"] == "http://127.0.0.1:9091 (port 9090 was taken)"


def test_a_taken_port_is_told_before_the_folder_is_touched(tmp_path: Path) -> None:
    folder = DemoFolder(tmp_path / "demo")
    with pytest.raises(PlanError, match="--proxy-port: port 0 is any port"):
        plan(folder, 0, 8789, 8788, days=1, rate=1, path=None)
    assert not folder.root.exists()


class Session:
    """A running `python -m run demo`, called by somebody with a ledger and a key of their own."""

    def __init__(self, folder: Path, proxy: int, exporter: int, console: int) -> None:
        self.folder = DemoFolder(folder / "demo")
        self.proxy = f"http://127.0.0.1:{proxy}"
        self.exporter = f"http://127.0.0.1:{exporter}"
        self.mine = folder / "mine.db"
        words = ["--folder", str(self.folder.root), "--days", "2", "--rate", "20"]
        words += ["--proxy-port", str(proxy), "--exporter-port", str(exporter)]
        words += ["--console-port", str(console)]
        environ = {
            "PATH": os.environ["PATH"],
            "CODEX_USAGE_DB_PATH": str(self.mine),
            "CODEX_USAGE_UPSTREAM_BASE_URL": "http://127.0.0.1:9",
            "OPENAI_API_KEY": "sk-precious",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "run", "demo", *words],
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def guide(self) -> dict[str, str]:
        """What it tells when it runs: first word of a line -> the rest."""
        assert self.process.stdout is not None
        lines: dict[str, str] = {}
        for line in self.process.stdout:
            word, _, rest = line.strip().partition(" ")
            lines[word] = rest.strip()
            if word == "stop":
                return lines
        pytest.fail(str(lines))


@pytest.fixture
def demo(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Session]:
    session = Session(tmp_path, free_port(), free_port(), free_port())
    with session.process:
        yield session
        session.process.terminate()


def query(prometheus: str, expression: str) -> list[Any]:
    parameters = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{prometheus}/api/v1/query?{parameters}", timeout=10) as response:
        found: list[Any] = json.load(response)["data"]["result"]
    return found


def until(expectation: Callable[[], object], seconds: float) -> object:
    """What is expected, as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := expectation()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def requests(database: Path) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM request_logs").fetchone()
    return int(count)


def test_a_demo_from_history_to_live_traffic(demo: Session, binary: Callable[[str], str]) -> None:
    binary("prometheus"), binary("promtool")
    told = demo.guide()
    prometheus = told["prometheus"].split()[0]

    history = requests(demo.folder.database)
    assert history > 100, "two days of requests"
    assert until(lambda: requests(demo.folder.database) > history, 60), "live requests are stored"
    assert until(lambda: len(query(prometheus, "up == 1")) == 2, 120), "both services are scraped"
    assert query(prometheus, "max_over_time(codex_lb_proxy_requests_total[1d] offset 12h)"), (
        "the past is there"
    )
    live = "sum by (account_id) (increase(codex_lb_proxy_account_requests_total[1m])) > 0"
    assert until(lambda: len(query(prometheus, live)) > 1, 180), "live requests go to the history's accounts"
    recorded = "count(count_over_time(account_id:codex_lb_proxy_account_cost_usd:increase1h[2d]))"
    assert until(lambda: query(prometheus, recorded), 300), "the past of account panels is there"
    assert list((demo.folder.build / "dashboards").glob("*.json"))
    assert not demo.mine.exists(), "the caller's ledger is not touched"

    demo.process.send_signal(signal.SIGINT)
    output, _ = demo.process.communicate(timeout=60)
    assert demo.process.returncode == 0, output
    assert "Traceback" not in output
    for log in demo.folder.logs.iterdir():
        assert "Traceback" not in log.read_text(), log.name
        assert "sk-precious" not in log.read_text(), log.name
