"""A real Prometheus 3 counts the first request of a new series, as the services say when it began."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from collector import sums
from collector.counting import Increments, observe
from collector.inbox import Inbox
from collector.scrape import scrape
from metrics.collector import EVENTS
from metrics.exposition import Beginnings
from metrics.proxy import API_KEY_REQUESTS, LATENCY
from prometheus.config import RuleConfig
from prometheus.scrape import START_TIMESTAMPS, Targets, document
from proxy.observers.registry import Metrics
from tests.support.served import served


@contextmanager
def serving(exposition: Callable[[str], tuple[bytes, str]]) -> Iterator[str]:
    """HOST:PORT of the metrics, in the format that the header Accept asks for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text, kind = exposition(self.headers["Accept"] or "")
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_arguments: Any) -> None:
            pass

    with served(Handler) as address:
        yield address


def version(release: Callable[[str], str]) -> tuple[int, int]:
    said = subprocess.run([release("promtool"), "--version"], capture_output=True, text=True, check=True)
    major, minor = (said.stdout + said.stderr).split("version ")[1].split(".")[:2]
    return int(major), int(minor)


def asked(url: str, expr: str) -> list[Any]:
    with urllib.request.urlopen(f"{url}/api/v1/query?{urlencode({'query': expr})}", timeout=20) as answer:
        result: list[Any] = json.load(answer)["data"]["result"]
    return result


def until(url: str, expr: str) -> list[Any]:
    deadline = time.monotonic() + 30
    while not (found := asked(url, expr)):
        assert time.monotonic() < deadline, expr
        time.sleep(0.1)
    return found


def test_the_first_request_of_a_new_series_counts(
    release: Callable[[str], str],
    running_prometheus: Callable[..., AbstractContextManager[str]],
    tmp_path: Path,
) -> None:
    found = version(release)
    metrics = Metrics([API_KEY_REQUESTS, LATENCY])
    with serving(metrics.exposition) as address:
        written = document(RuleConfig(), Targets(address, "127.0.0.1:1", release=found), [])
        written["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
        written["scrape_configs"] = written["scrape_configs"][:1]
        flags = [START_TIMESTAMPS] if found >= (3, 0) else []
        with running_prometheus(yaml.safe_dump(written), tmp_path / "data", *flags) as url:
            until(url, "up == 1")
            metrics.counter(API_KEY_REQUESTS, "sk-a...z123").inc()
            metrics.histogram(LATENCY, "m", "responses").observe(30)
            until(url, f"count_over_time({API_KEY_REQUESTS}[1m]) >= 3")
            rise = asked(url, f"increase({API_KEY_REQUESTS}[1m])")
            assert (float(rise[0]["value"][1]) > 0.9) is (found >= (3, 0))
            assert asked(url, LATENCY.bucket)
            assert asked(url, '{__name__=~".+_created"}') == []


def test_the_first_event_that_was_collected_counts(
    release: Callable[[str], str],
    running_prometheus: Callable[..., AbstractContextManager[str]],
    tmp_path: Path,
) -> None:
    found, beginnings = version(release), Beginnings()
    with closing(Inbox(tmp_path / "inbox.db")) as inbox:
        with serving(lambda accept: scrape(inbox, (), beginnings).text(accept)) as address:
            where = Targets("127.0.0.1:1", "127.0.0.1:1", collector=address, release=found)
            written = document(RuleConfig(services=("collector",)), where, [])
            written["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
            flags = [START_TIMESTAMPS] if found >= (3, 0) else []
            with running_prometheus(yaml.safe_dump(written), tmp_path / "data", *flags) as url:
                until(url, "count_over_time(up[1m]) >= 2")
                increments: Increments = defaultdict(float, {(EVENTS.name, ("cpa", "http")): 1.0})
                observe(increments, LATENCY, ("m", "responses"), [30])
                with inbox.transaction() as connection:
                    sums.add(connection, increments)
                for series in (EVENTS.name, LATENCY.count):
                    until(url, f"count_over_time({series}[1m]) >= 3")
                    rise = asked(url, f"increase({series}[1m])")
                    assert (float(rise[0]["value"][1]) > 0.9) is (found >= (3, 0))
                assert asked(url, '{__name__=~".+_created"}') == []


def test_buckets_stay_where_histograms_are_stored_as_native_ones(
    release: Callable[[str], str],
    running_prometheus: Callable[..., AbstractContextManager[str]],
    tmp_path: Path,
) -> None:
    found = version(release)
    metrics = Metrics([LATENCY])
    metrics.histogram(LATENCY, "m", "responses").observe(30)
    with serving(metrics.exposition) as address:
        written = document(RuleConfig(), Targets(address, "127.0.0.1:1", release=found), [])
        written["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
        if found >= (3, 4):  # an older one cannot, for all jobs at once
            written["global"]["convert_classic_histograms_to_nhcb"] = True
        written["scrape_configs"] = written["scrape_configs"][:1]
        with running_prometheus(yaml.safe_dump(written), tmp_path / "data") as url:
            until(url, LATENCY.bucket)
