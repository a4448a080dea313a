"""Relabelling as Prometheus does it; what is said here is asked of a real one in test_against_prometheus."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from runbooks.relabelling import relabelled

SERIES = {"__name__": "x", "a": "one", "b": "two", "c_d": "Three"}

CASES: dict[str, tuple[list[dict[str, Any]], dict[str, str] | None]] = {
    "drop": ([{"action": "drop", "source_labels": ["a"], "regex": "on."}], None),
    "anchored": ([{"action": "drop", "source_labels": ["a"], "regex": "on"}], SERIES),
    "keep": ([{"action": "keep", "source_labels": ["a", "b"], "regex": "one;t.*"}], SERIES),
    "separator": (
        [{"action": "keep", "source_labels": ["a", "b"], "separator": "-", "regex": "one-two"}],
        SERIES,
    ),
    "replace": (
        [{"source_labels": ["a", "b"], "regex": "(.*);(.*)", "target_label": "a", "replacement": "${2}-$1"}],
        SERIES | {"a": "two-one"},
    ),
    "replaced by nothing": (
        [{"source_labels": ["a"], "regex": "one", "target_label": "b", "replacement": ""}],
        {"__name__": "x", "a": "one", "c_d": "Three"},
    ),
    "not replaced": (
        [{"source_labels": ["a"], "regex": "two", "target_label": "b", "replacement": "z"}],
        SERIES,
    ),
    "labeldrop": ([{"action": "labeldrop", "regex": "[ab]"}], {"__name__": "x", "c_d": "Three"}),
    "labelkeep": (
        [{"action": "labelkeep", "regex": "__name__|a|job|instance"}],
        {"__name__": "x", "a": "one"},
    ),
    "labelmap": ([{"action": "labelmap", "regex": "c_(.*)"}], SERIES | {"d": "Three"}),
    "lowercase": (
        [{"action": "lowercase", "source_labels": ["c_d"], "target_label": "b"}],
        SERIES | {"b": "three"},
    ),
    "one after the other": (
        [
            {"source_labels": ["b"], "target_label": "a"},
            {"action": "drop", "source_labels": ["a"], "regex": "two"},
        ],
        None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_becomes_of_a_series(case: str) -> None:
    configs, expected = CASES[case]
    assert relabelled(SERIES, configs) == expected


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(b'x{a="one",b="two",c_d="Three"} 1\n')

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_against_prometheus(prometheus_server: Callable[..., str], tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        target = [{"targets": [f"127.0.0.1:{server.server_address[1]}"]}]
        jobs = [
            {"job_name": name, "static_configs": target, "metric_relabel_configs": configs}
            for name, (configs, _) in CASES.items()
        ]
        url = prometheus_server(
            json.dumps({"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": jobs}),
            tmp_path / "data",
        )
        assert stored(url) == {name: labels for name, (_, labels) in CASES.items()}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def stored(url: str) -> dict[str, dict[str, str] | None]:
    """The labels that each job's series has, once every job has been scraped."""
    deadline = time.monotonic() + 30
    while len(ask(url, "up == 1")) < len(CASES):
        assert time.monotonic() < deadline, "not every job is scraped"
        time.sleep(0.2)
    found: dict[str, dict[str, str] | None] = dict.fromkeys(CASES)
    for labels in ask(url, "x"):
        found[labels["job"]] = {k: v for k, v in labels.items() if k not in ("job", "instance")}
    return found


def ask(url: str, query: str) -> list[dict[str, str]]:
    with urllib.request.urlopen(f"{url}/api/v1/query?{urlencode({'query': query})}", timeout=10) as answer:
        return [dict(series["metric"]) for series in json.load(answer)["data"]["result"]]
