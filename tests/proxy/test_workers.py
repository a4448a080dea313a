"""Several processes on one address: what each counted is summed, a dead one is replaced, and none is left."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

ROOT = Path(__file__).parents[2]
REQUESTS = 24


def get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:  # the upstream is not there: a 502 is an answer too
        return str(error.read().decode())


def until(what: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            if what():
                return
        assert time.monotonic() < deadline, "what was awaited does not come"
        time.sleep(0.05)


class Running:
    """`python -m proxy` with two workers in a folder of its own."""

    def __init__(self, folder: Path, port: int, nobody: int, storage: str = "") -> None:
        self.folder = folder
        self.origin = f"http://127.0.0.1:{port}"
        self.config = folder / "codex-usage.toml"
        self.config.write_text(
            f'[server]\nlisten_addr = "127.0.0.1:{port}"\nworkers = 2\nshutdown_timeout_seconds = 3\n'
            f'upstream_base_url = "http://127.0.0.1:{nobody}"\n{storage}'
        )
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "proxy"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def workers(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def until_it_runs(self) -> list[int]:
        until(lambda: self.listening() == 2 and "ok" in get(f"{self.origin}/healthz"))
        return self.workers()

    def listening(self) -> int:
        """How many sockets listen at our address."""
        rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
        port = f":{int(self.origin.rpartition(':')[2]):04X}"
        return sum(row.split()[1].endswith(port) and row.split()[3] == "0A" for row in rows)

    def replaced(self, before: list[int]) -> bool:
        """Whether there is a worker that was not there before, beside the other one."""
        return self.listening() == 2 and len(set(self.workers()) - set(before)) == 1

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """The exit code, and what stood on standard error."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Start]:
    started: list[Running] = []

    def start(storage: str = "", provider: int | None = None) -> Running:
        started.append(Running(tmp_path, free_port(), provider or free_port(), storage))
        return started[-1]

    yield start
    for running in started:
        with running.process:
            running.process.terminate()


def test_workers_count_as_one_and_a_dead_one_is_replaced(start: Start) -> None:
    running = start()
    counted = f'http_requests_total{{method="GET",path="/v1/models",status="502"}} {REQUESTS}.0'
    first = running.until_it_runs()
    for _ in range(REQUESTS):
        get(f"{running.origin}/v1/models")
    until(lambda: counted in get(f"{running.origin}/metrics"))
    os.kill(first[0], signal.SIGKILL)
    until(lambda: running.replaced(first))
    until(lambda: counted in get(f"{running.origin}/metrics"))
    assert running.end()[0] == 0


def test_a_worker_that_dies_while_the_ledger_is_locked_comes_back_when_it_is_free(
    start: Start, tmp_path: Path
) -> None:
    running = start()
    first = running.until_it_runs()
    with closing(sqlite3.connect(tmp_path / "usage.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        os.kill(first[0], signal.SIGKILL)
        assert running.process.stderr is not None
        line = ""
        while "ended with 1;" not in line:  # its first successor has given up meanwhile
            line = running.process.stderr.readline()
            assert line, "the supervisor ended"
            assert "ok" in get(f"{running.origin}/healthz")
    until(lambda: running.replaced(first))
    code, errors = running.end()
    assert (code, "Traceback" in errors) == (0, False)


@pytest.mark.parametrize("outbox", [True, False])
def test_a_worker_that_dies_while_postgresql_is_down_does_not_end_the_others(
    start: Start, postgres_url: URL, free_port: Callable[[], int], outbox: bool
) -> None:
    """The address of the ledger leads nowhere for a while; the configuration that a worker reads says so.
    With an outbox its successor serves at once, without one when the ledger is back."""
    url = postgres_url.render_as_string(hide_password=False)
    running = start(f'[storage]\ndatabase_url = "{url}"\noutbox = {str(outbox).lower()}\n')
    first = running.until_it_runs()
    good = running.config.read_text()
    down = URL.create("postgresql", "nobody", host="127.0.0.1", port=free_port(), database="ledger")
    running.config.write_text(good.replace(url, down.render_as_string()))
    os.kill(first[0], signal.SIGKILL)
    assert running.process.stderr is not None
    awaited = "the ledger is away" if outbox else "ended with 1;"
    while awaited not in (line := running.process.stderr.readline()):
        assert line, "the supervisor ended"
        assert "ok" in get(f"{running.origin}/healthz")
    if not outbox:
        running.config.write_text(good)
    until(lambda: running.replaced(first))
    assert running.end()[0] == 0


def test_a_configuration_that_is_broken_later_ends_nobody_who_serves(start: Start) -> None:
    running = start()
    first = running.until_it_runs()
    good = running.config.read_text()
    running.config.write_text("[server]\nworkers = 0\n")
    os.kill(first[0], signal.SIGKILL)
    assert running.process.stderr is not None
    while "ended with 2;" not in running.process.stderr.readline():
        assert "ok" in get(f"{running.origin}/healthz")
    running.config.write_text(good)
    until(lambda: running.replaced(first))
    assert running.end()[0] == 0


def test_where_nobody_serves_and_nobody_can_start_it_ends_with_2(start: Start) -> None:
    running = start()
    first = running.until_it_runs()
    running.config.write_text("[server]\nworkers = 0\n")
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    _, errors = running.process.communicate(timeout=30)
    assert running.process.returncode == 2
    assert "server.workers" in errors


def test_workers_end_with_a_supervisor_that_was_killed_and_the_next_one_is_alone(start: Start) -> None:
    running = start()
    workers = running.until_it_runs()
    running.process.kill()
    until(lambda: all(is_gone(pid) for pid in workers))
    running.process.communicate(timeout=10)
    running.process = running.start()
    assert not set(running.until_it_runs()) & set(workers)
    assert running.end()[0] == 0


def test_a_second_start_at_the_same_address_is_refused(start: Start) -> None:
    running = start()
    running.until_it_runs()
    with running.start() as second:
        try:
            _, errors = second.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            second.terminate()  # its workers end with it
            pytest.fail("a second proxy serves at the same address")
    assert second.returncode == 2
    address = running.origin.removeprefix("http://")
    assert errors == (
        f"proxy: cannot listen on {address}: Address already in use; an older proxy may still run\n"
    )
    assert running.end()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_every_stopping_signal_lets_running_requests_finish(start: Start, number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as provider:
        provider.settimeout(20)
        running = start(provider=provider.getsockname()[1])
        running.until_it_runs()
        host, port = running.origin.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
            asked, _ = provider.accept()
            with asked:
                assert asked.recv(65536)
                running.process.send_signal(number)
                until(lambda: refused(host, int(port)))
                asked.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
                assert client.recv(65536).endswith(b"hi")
        running.process.communicate(timeout=30)
        assert running.process.returncode == 0


def refused(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False
