"""A store that does not answer, and being ended in the middle of it: the real exporter, from outside."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import URL

Start = Callable[..., "subprocess.Popen[str]"]
ANYWHERE = '[exporter]\nlisten_addr = "127.0.0.1:0"\n'
GRACE_SECONDS = 6
"""For an exporter to end: five seconds, and a machine that has other things to do."""

TABLES = """
CREATE TABLE accounts (id TEXT PRIMARY KEY, email TEXT, plan_type TEXT, status TEXT, reset_at INTEGER);
CREATE TABLE usage_history (id INTEGER PRIMARY KEY, account_id TEXT, recorded_at TIMESTAMP, "window" TEXT,
    used_percent FLOAT, reset_at INTEGER, window_minutes INTEGER);
CREATE TABLE request_logs (id INTEGER PRIMARY KEY, account_id TEXT, request_id TEXT, requested_at TIMESTAMP,
    model TEXT, input_tokens INTEGER, output_tokens INTEGER, cached_input_tokens INTEGER,
    reasoning_tokens INTEGER, status TEXT);
INSERT INTO accounts VALUES ('a', 'a@example.com', 'plus', 'active', NULL);
"""


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().split()[-1].removesuffix("/metrics")


def successes(base: str) -> list[str]:
    """The values of the gauge for success."""
    with urllib.request.urlopen(base + "/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return [line.rpartition(" ")[2] for line in lines if "collector_success{" in line]


def seconds_to_end(process: subprocess.Popen[str]) -> float:
    """From SIGTERM on."""
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    return time.monotonic() - begin


def children(parent: int) -> list[int]:
    """The processes that a process has started: field 4 of each /proc/PID/stat is the parent."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


@contextmanager
def scraping(base: str) -> Iterator[subprocess.Popen[bytes]]:
    """A client that waits for /metrics, until the block ends."""
    script = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1]).read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, base + "/metrics"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as client:
        yield client
        client.kill()


@contextmanager
def stopped(postgres: Path) -> Iterator[None]:
    """The server stops in the middle of everything: its sockets are open, and nobody reads them."""
    main = int((postgres / "data" / "postmaster.pid").read_text().splitlines()[0])
    pids = [main, *children(main)]
    assert len(pids) > 1
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def server_store(postgres_url: URL) -> str:
    """A codex-lb store on a server."""
    with psycopg.connect(host=str(postgres_url.query["host"]), user="ledger", dbname="postgres") as server:
        server.execute(TABLES)
    return f"codex-lb:{postgres_url.set(drivername='postgresql').render_as_string(hide_password=False)}"


def test_a_server_that_stops_answering_is_told_in_time_and_read_again(
    postgres: Path, server_store: str, start: Start
) -> None:
    base = address(start(ANYWHERE, "--store", server_store))
    assert successes(base) == ["1.0"] * 4
    with stopped(postgres):
        for _ in range(2):
            begin = time.monotonic()
            assert successes(base) == ["0.0"] * 4
            assert time.monotonic() - begin < 10  # Prometheus gives up then
    deadline = time.monotonic() + 20
    while successes(base) != ["1.0"] * 4:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_sigterm_ends_it_in_time_while_a_server_does_not_answer(
    postgres: Path, server_store: str, start: Start
) -> None:
    process = start(ANYWHERE, "--store", server_store)
    base = address(process)
    assert successes(base) == ["1.0"] * 4
    with stopped(postgres):
        with scraping(base):
            time.sleep(0.5)
            assert seconds_to_end(process) < GRACE_SECONDS


@pytest.mark.slow
def test_sigterm_ends_it_in_time_while_a_large_store_is_read_for_the_first_time(
    tmp_path: Path, start: Start
) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as store:
        store.executescript(TABLES)
        store.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500000)"
            " INSERT INTO request_logs SELECT i, 'a', 'r', strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 day'),"
            " 'gpt-5.4', 10, 10, 0, 0, 'success' FROM n"
        )
        store.commit()
    process = start(ANYWHERE, "--store", f"codex-lb:{path}")
    base = address(process)
    with scraping(base) as client:
        time.sleep(0.5)
        assert client.poll() is None
        assert seconds_to_end(process) < GRACE_SECONDS


def test_a_pipe_in_the_place_of_a_store_is_refused_at_once(tmp_path: Path, start: Start) -> None:
    os.mkfifo(tmp_path / "store.db")
    out, err = start("", "--once", "--store", f"codex-lb:{tmp_path / 'store.db'}").communicate(timeout=20)
    assert out.count("collector_success{") == 4
    assert "cannot read the codex-lb store" in err
    assert "it is not a regular file" in err
