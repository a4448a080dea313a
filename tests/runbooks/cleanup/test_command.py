"""The clean-up, end to end: a real Prometheus scrapes a real page, forgets a model, and is asked again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from prometheus.relabel import drop_model
from runbooks.__main__ import main

ROOT = Path(__file__).parents[3]
MODEL = "gpt-4.1-mini"
GONE, KEPT = f'{{model="{MODEL}"}}', '{model="gpt-5.4"}'
METRICS = ("codex_lb_proxy_requests_total", "codex_lb_proxy_cost_usd_total", "codex_lb_proxy_tokens_total")


class Page(BaseHTTPRequestHandler):
    """What an exporter says that still counts two models."""

    def do_GET(self) -> None:
        lines = [f'{name}{{model="{model}"}} 1' for name in METRICS for model in (MODEL, "gpt-5.4")]
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write("\n".join([*lines, ""]).encode())

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def exporter() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Running:
    """A Prometheus, its configuration file, and the clean-up run against it as a person runs it."""

    url: str
    config: Path
    target: str

    def configure(self, *, blocked: bool) -> None:
        """Write the configuration; a Prometheus that runs takes it over."""
        job: dict[str, Any] = {"job_name": "shop", "static_configs": [{"targets": [self.target]}]}
        if blocked:
            job["metric_relabel_configs"] = [drop_model(MODEL).document()]
        document = {
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
            "scrape_configs": [job],
        }
        self.config.write_text(json.dumps(document))  # JSON is YAML
        if self.url:
            urllib.request.urlopen(urllib.request.Request(f"{self.url}/-/reload", method="POST"), timeout=20)

    def values(self, expr: str) -> list[Any]:
        with urllib.request.urlopen(
            f"{self.url}/api/v1/query?{urlencode({'query': expr})}", timeout=20
        ) as got:
            found: list[Any] = json.load(got)["data"]["result"]
        return found

    def samples(self, matcher: str) -> list[int]:
        """How many there are of each metric; nothing of one that has none."""
        counted = [self.values(f"count_over_time({name}{matcher}[1h])") for name in METRICS]
        return [int(series["value"][1]) for found in counted for series in found]

    def until(self, expr: str, *, there: bool) -> None:
        deadline = time.monotonic() + 30
        while bool(self.values(expr)) != there:
            assert time.monotonic() < deadline, f"{expr} {'does not come' if there else 'does not go'}"
            time.sleep(0.05)

    def clean(self, *options: str, answer: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "runbooks", "cleanup-series", "--prometheus", self.url, *options]
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, input=answer, capture_output=True, text=True, timeout=60, env=environ, check=False
        )


@pytest.fixture
def start(exporter: str, tmp_path: Path, prometheus_server: Callable[..., str]) -> Callable[..., Running]:
    def begin(*flags: str) -> Running:
        running = Running("", tmp_path / "prometheus.yml", exporter)
        running.configure(blocked=False)
        running.url = prometheus_server(running.config, tmp_path / "data", "--web.enable-lifecycle", *flags)
        running.until(f"count({GONE}) == 3", there=True)
        return running

    return begin


def test_a_model_is_forgotten_and_stays_so_until_the_rule_is_gone(start: Callable[..., Running]) -> None:
    running = start("--web.enable-admin-api")

    refused = running.clean("--model", MODEL, "--yes")
    assert refused.returncode == 1
    assert "shop: nothing keeps them out" in refused.stdout
    assert "regex: gpt-4\\.1-mini" in refused.stdout
    assert "python -m prometheus build --drop-model gpt-4.1-mini" in refused.stdout
    assert refused.stdout.splitlines()[-1] == "nothing was deleted"
    assert len(running.values(GONE)) == 3

    running.configure(blocked=True)
    running.until(GONE, there=False)
    dry = running.clean("--model", MODEL, "--dry-run")
    assert dry.returncode == 0
    assert "shop: a relabel rule keeps them out" in dry.stdout
    assert [line.split()[:2] for line in dry.stdout.splitlines() if line.startswith("codex_lb")] == [
        [name, "1"] for name in sorted(METRICS)
    ]
    assert running.samples(GONE)

    declined = running.clean("--model", MODEL, answer="n\n")
    assert (declined.returncode, declined.stdout.splitlines()[-1]) == (
        1,
        "Delete 3 series of 3 metrics for good? [y/N] nothing was deleted",
    )
    assert running.clean("--model", MODEL).returncode == 1, "no answer is no"
    assert running.samples(GONE)

    done = running.clean("--model", MODEL, "--clean-tombstones", answer="y\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "deleting 3/3 codex_lb_proxy_tokens_total" in done.stdout
    assert "verify: instant queries return nothing" in done.stdout
    assert "verify: range queries return nothing" in done.stdout
    assert "close the admin API" in done.stdout
    assert running.samples(GONE) == []
    assert len(running.values(KEPT)) == 3
    assert all(count > 2 for count in running.samples(KEPT))

    again = running.clean("--model", MODEL)
    assert (again.returncode, again.stdout.splitlines()[-1]) == (
        0,
        f"no samples match {GONE}: nothing to delete",
    )
    running.configure(blocked=False)
    running.until(GONE, there=True)


def test_who_insists_may_delete_what_comes_back(start: Callable[..., Running]) -> None:
    running = start("--web.enable-admin-api")
    result = running.clean("--model", MODEL, "--yes", "--unblocked")
    assert "shop: nothing keeps them out, and they would be back with the next scrape" in result.stdout
    assert "deleting 3/3" in result.stdout
    # A scrape between the deletion and the proof fails the proof.
    assert result.returncode == (1 if "FAILED" in result.stdout else 0)
    running.until(GONE, there=True)


def test_a_closed_admin_api_is_named_with_the_way_to_open_it(start: Callable[..., Running]) -> None:
    running = start()
    running.configure(blocked=True)
    running.until(GONE, there=False)
    result = running.clean("--model", MODEL, "--yes")
    assert result.returncode == 1
    assert "--web.enable-admin-api" in result.stdout
    assert result.stdout.splitlines()[-1] == "nothing was deleted"
    assert running.samples(GONE)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((), "--model"),
        (("--model", ""), "empty model"),
        (("--matcher", "rate(x[5m])"), "series selector"),
        (("--matcher", "{"), "--matcher {"),
        (("--matcher", '{model=~".*"}'), "non-empty matcher"),
        (("--matcher", '{model!="x"}'), "non-empty matcher"),
        (("--matcher", "up offset 5m"), "series selector"),
        (("--prometheus", "ftp://x", "--model", "m"), "--prometheus ftp://x"),
        (("--prometheus", "http://127.0.0.1:9", "--model", "m"), "http://127.0.0.1:9: cannot be reached"),
        (("gpt-4.1-mini",), "gpt-4.1-mini"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(
    options: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code: object
    try:
        code = main(["cleanup-series", "--prometheus", "http://127.0.0.1:9", *options])
    except SystemExit as ended:
        code = ended.code
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line


def test_an_address_that_is_no_prometheus(exporter: str) -> None:
    result = Running(f"http://{exporter}", Path(), "").clean("--model", MODEL, "--yes")
    assert (result.returncode, result.stderr) == (
        2,
        f"runbooks: http://{exporter}: does not answer like a Prometheus\n",
    )
