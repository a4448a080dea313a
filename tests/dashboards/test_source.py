from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dashboards.errors import SourceError
from dashboards.preview.grafana_time import Ask
from dashboards.preview.source import fetch, named


def asked(expr: str, now: datetime, *, instant: bool, legend: str = "") -> Ask:
    step = timedelta(minutes=30)
    return Ask(expr, now - timedelta(hours=1), now, step, instant, legend)


def test_a_range_has_a_point_for_each_step(seeded: str, now: datetime) -> None:
    (series,) = fetch(seeded, asked("vector(42)", now, instant=False))
    half = timedelta(minutes=30)
    assert series.points == ((now - 2 * half, 42.0), (now - half, 42.0), (now, 42.0))


def test_an_instant_has_one_point_and_its_labels(seeded: str, now: datetime) -> None:
    query = 'label_replace(vector(1), "model", "m", "", "")'
    (series,) = fetch(seeded, asked(query, now, instant=True, legend="{{model}} {{ model }}{{none}}"))
    assert (series.name, series.labels, series.points) == ("m m", {"model": "m"}, ((now, 1.0),))
    assert series.last == 1.0


def test_what_is_no_number_is_left_out(seeded: str, now: datetime) -> None:
    assert fetch(seeded, asked("vector(0) / vector(0)", now, instant=False)) == []


def test_prometheus_own_words_come_with_a_refusal(seeded: str, now: datetime) -> None:
    with pytest.raises(SourceError, match=r"parse error.*: sum\($"):
        fetch(seeded, asked("sum(", now, instant=True))


def test_a_scalar_is_not_drawn(seeded: str, now: datetime) -> None:
    with pytest.raises(SourceError, match="answers with a scalar"):
        fetch(seeded, asked("1", now, instant=True))


def test_nobody_at_the_address(free_port: Callable[[], int], now: datetime) -> None:
    with pytest.raises(
        SourceError, match=r"cannot be reached: Connection refused; is Prometheus running there\?$"
    ):
        fetch(f"http://127.0.0.1:{free_port()}", asked("up", now, instant=True))


class SomethingElse(BaseHTTPRequestHandler):
    """A web server that is no Prometheus."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(404 if self.path.endswith("query_range") else 200)
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), SomethingElse)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_somebody_else_at_the_address() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with serving() as url:
        with pytest.raises(SourceError, match="does not answer like a Prometheus"):
            fetch(url, asked("up", now, instant=True))
        with pytest.raises(SourceError, match="HTTP 404"):
            fetch(url, asked("up", now, instant=False))


def test_a_legend_without_labels_stays() -> None:
    assert named("Cost", {"model": "m"}) == "Cost"
