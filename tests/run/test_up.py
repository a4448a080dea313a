from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from run.up import facts, guide, limits, local_url, programs
from settings.load import load
from settings.model import Settings

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1:8787", "http://127.0.0.1:8787"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        ("[::]:80", "http://[::1]:80"),
        ("[fe80::1]:80", "http://[fe80::1]:80"),
        ("localhost:1", "http://localhost:1"),
    ],
)
def test_how_this_machine_reaches_an_address(address: str, url: str) -> None:
    assert local_url(address) == url


def test_all_services_get_the_configuration() -> None:
    proxy, exporter, console = programs(Settings(), Path("mine.toml"))
    assert proxy.argv == (sys.executable, "-m", "proxy", "--config", "mine.toml")
    assert exporter.argv == (sys.executable, "-m", "exporter", "--config", "mine.toml")
    assert console.argv == (sys.executable, "-m", "console", "--config", "mine.toml")
    assert [p.argv[1:] for p in programs(Settings(), None)] == [
        ("-m", "proxy"),
        ("-m", "exporter"),
        ("-m", "console"),
    ]


def test_the_proxy_has_longer_to_end_than_it_gives_its_requests(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[server]\nshutdown_timeout_seconds = 100")
    assert limits(load(config, {})).stop > 100


def test_the_next_steps_show_no_password(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('[storage]\ndatabase_url = "postgresql://me:secret@db/usage"')
    assert "secret" not in guide(facts(load(config, {})))


class Running:
    """`python -m run up` in a folder of its own."""

    def __init__(self, folder: Path, proxy: int, exporter: int, console: int) -> None:
        self.proxy, self.exporter = f"http://127.0.0.1:{proxy}", f"http://127.0.0.1:{exporter}"
        self.console = f"http://127.0.0.1:{console}"
        self.ledger = folder / "usage.db"
        config = folder / "codex-usage.toml"
        config.write_text(
            f'[server]\nlisten_addr = "127.0.0.1:{proxy}"\n'
            f'[exporter]\nlisten_addr = "127.0.0.1:{exporter}"\n'
            f'[console]\nlisten_addr = "127.0.0.1:{console}"\n'
            f"[storage]\ndatabase_path = '{self.ledger}'\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "run", "up", "--config", str(config)],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until_it_runs(self) -> str:
        """What it prints until it is ready."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                return "".join(lines)
        pytest.fail("".join(lines) + str(self.process.stderr and self.process.stderr.read()))

    def child(self, name: str) -> int:
        """The process id of a service; 0 while there is none."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        found = (int(pid) for pid in children if name in _module(pid))
        return next(found, 0)

    def end(self) -> tuple[int, str]:
        """The exit code and what stood on standard error."""
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


@pytest.fixture
def running(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Running]:
    up = Running(tmp_path, free_port(), free_port(), free_port())
    with up.process:
        yield up
        up.process.terminate()


def _module(pid: str) -> str:
    """What stands behind `-m` in a process's command line."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:  # it has just ended
        return ""
    return words[2] if len(words) > 2 else ""


def until(what: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            if what():
                return
        assert time.monotonic() < deadline, "what was awaited does not come"
        time.sleep(0.1)


def is_refused(url: str) -> bool:
    try:
        get(url + "/healthz")
    except OSError as error:
        return "refused" in str(error)
    return False


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as response:
        return str(response.read().decode())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_up_runs_all_until_a_signal(running: Running, number: signal.Signals) -> None:
    text = running.until_it_runs()
    assert f"Quotascope is running.\n  page       {running.console}/\n" in text  # before all else
    assert f"export OPENAI_BASE_URL={running.proxy}/v1\n" in text
    assert f"{running.proxy}/metrics and {running.exporter}/metrics\n" in text
    assert f"{running.ledger}\n" in text
    assert "# TYPE codex_lb_proxy_requests_total counter" in get(running.proxy + "/metrics")
    assert "# TYPE codex_lb_accounts_total gauge" in get(running.exporter + "/metrics")
    assert "Why is there no data?" in get(running.console + "/")
    assert running.ledger.exists()
    running.process.send_signal(number)
    code, errors = running.end()
    assert code == 0
    assert "Traceback" not in errors
    for url in (running.proxy, running.exporter, running.console):
        with pytest.raises(OSError, match="refused"):
            get(url + "/healthz")


def test_when_the_proxy_dies_all_end(running: Running) -> None:
    running.until_it_runs()
    os.kill(running.child("proxy"), signal.SIGKILL)
    code, errors = running.end()
    assert code == 1
    assert errors.splitlines()[-1] == "run: proxy was ended by SIGKILL"
    with pytest.raises(OSError, match="refused"):
        get(running.exporter + "/healthz")


def test_an_exporter_that_dies_is_started_again_and_the_proxy_goes_on(running: Running) -> None:
    running.until_it_runs()
    proxy, exporter = running.child("proxy"), running.child("exporter")
    os.kill(exporter, signal.SIGKILL)
    until(lambda: running.child("exporter") != exporter and "ok" in get(running.exporter + "/healthz"))
    assert running.child("proxy") == proxy
    assert "ok" in get(running.proxy + "/healthz")
    running.process.terminate()
    code, errors = running.end()
    assert code == 0
    assert "run: exporter was ended by SIGKILL; it is started again in 1 s\n" in errors


def test_when_up_is_killed_its_services_end_and_free_the_ports(running: Running) -> None:
    running.until_it_runs()
    running.process.kill()
    for url in (running.proxy, running.exporter, running.console):
        until(partial(is_refused, url))


def test_a_taken_port_starts_nothing(tmp_path: Path, free_port: Callable[[], int]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = Running(tmp_path, free_port(), port, free_port())
        with up.process:
            code, errors = up.end()
    assert code == 2
    assert errors == (
        f"run: 127.0.0.1:{port} is taken by another program; end that, or change exporter.listen_addr\n"
    )
    assert not up.ledger.exists()
