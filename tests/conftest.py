"""What every room's tests share: the real programs they need, a PostgreSQL, and free ports."""

from __future__ import annotations

import gc
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import URL

from ledger.store import parse_url
from tests.support import examples
from tests.support.starting import preloaded

PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "docker-compose": "docker-compose",
    "chromium": "chromium",
    "initdb": "postgresql",
    "postgres": "postgresql",
    "npm": "npm",
    "tmux": "tmux",
}
"""Debian's package for each program that a test may ask for."""


_OUTSIDE = {"socket.bind", "socket.connect", "subprocess.Popen", "os.fork", "os.posix_spawn", "os.system"}
"""What a unit test does not do, by the names of Python's audit events."""

_PROGRAMS = {"binary", "free_port", "start_proxy", "program", "gateway", "local", "any_grafana", "http"}
"""Fixtures of tests that need a program or a port: they are not even begun, for it takes long to build what
is then not used, and what a library has half started when it is stopped (Playwright's loop) would stay."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--unit", action="store_true", help="skip what opens a socket, starts a process or takes seconds"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes a quarter of a second or more; left out by --unit")
    examples.set_up(unit=config.getoption("--unit"))
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup, what tests start would ignore it
    if config.getoption("--unit"):
        config.pluginmanager.register(_Inside())


class _Inside:
    """Skips every test at the moment at which it turns to a socket or another process: no list to keep."""

    def __init__(self) -> None:
        self._testing = False
        self._thread = threading.get_ident()
        sys.addaudithook(self._refuse)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        self._testing = True
        try:
            return (yield)
        finally:
            self._testing = False

    def _refuse(self, event: str, _arguments: object) -> None:
        if self._testing and event in _OUTSIDE and threading.get_ident() == self._thread:
            pytest.skip(f"no unit test: {event}")


@pytest.fixture(scope="session", autouse=True)
def _preloaded(request: pytest.FixtureRequest) -> Iterator[None]:
    """Our own programs start from a Python that has imported their libraries."""
    if request.config.getoption("--unit"):
        yield
        return
    with preloaded():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """What was imported and collected stays to the end: the garbage collector need not look at it again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--unit"):
        left_out = {item for item in items if item.get_closest_marker("slow") or _needs_programs(item)}
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=[*left_out])


def _needs_programs(item: pytest.Item) -> bool:
    values = getattr(getattr(item, "callspec", None), "params", {}).values()
    on_a_server = any(isinstance(value, str) and value == "postgresql" for value in values)
    return on_a_server or not _PROGRAMS.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def binary() -> Callable[[str], str]:
    """Finds a program; without it the test is skipped, and with CI=true it fails."""

    def find(name: str) -> str:
        extra = [str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
        path = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *extra]))
        if path is None:
            reason = f"{name} is not installed: apt-get install {PACKAGES[name]}"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        return path

    return find


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A loopback port that was free a moment ago."""

    return _free_port


@pytest.fixture(scope="session")
def running_prometheus(binary: Callable[[str], str]) -> Callable[..., AbstractContextManager[str]]:
    """A real Prometheus for as long as a `with` block lasts: for fixtures of any scope.

    Called with the configuration (its text, or the path of its file), the data directory and further
    flags; the value is its base URL, like `http://127.0.0.1:41234`.
    """
    return running(binary)


def running(binary: Callable[[str], str]) -> Callable[..., AbstractContextManager[str]]:
    """`running_prometheus` of the program that `binary` finds."""

    @contextmanager
    def run(config: str | Path, data_dir: Path, *flags: str) -> Iterator[str]:
        port = _free_port()
        with TemporaryDirectory(prefix="prometheus-") as folder:
            file = config if isinstance(config, Path) else Path(folder, "prometheus.yml")
            if isinstance(config, str):
                file.write_text(config, encoding="utf-8")
            command = [binary("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={data_dir}"]
            command += [f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=100y"]
            command += [
                "--scrape.discovery-reload-interval=50ms"
            ]  # by default a new target waits up to 5 s more
            log = Path(folder, "log")
            with log.open("w") as out:
                process = subprocess.Popen([*command, *flags], stdout=out, stderr=out)
            try:
                _wait_until_ready(port, process, log)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()
                process.wait(timeout=30)

    return run


@pytest.fixture
def prometheus_server(
    running_prometheus: Callable[..., AbstractContextManager[str]],
) -> Iterator[Callable[..., str]]:
    """Starts a real Prometheus that ends with the test: `prometheus_server(config, data_dir)` is its
    base URL."""
    with ExitStack() as stack:
        yield lambda *asked: stack.enter_context(running_prometheus(*asked))


def _demoted() -> dict[str, Any]:
    """How to start PostgreSQL, which refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _wait_until_it_answers(folder: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            psycopg.connect(host=str(folder), user="ledger", dbname="postgres").close()
            return
        except psycopg.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL did not start: {(folder / 'log').read_text()}")
            time.sleep(0.02)


@pytest.fixture(scope="session")
def postgres(binary: Callable[[str], str]) -> Iterator[Path]:
    """A PostgreSQL of this test run's own; the folder of its socket. Durability is off: it is thrown away."""
    initdb, postgres = binary("initdb"), binary("postgres")
    as_user = _demoted()
    folder = Path(mkdtemp(prefix="ledger-pg-"))  # short: a socket's path has at most 107 bytes
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if as_user:
            os.chown(folder, as_user["user"], as_user["group"])
        data = folder / "data"
        made = subprocess.run(
            [initdb, "-D", data, "-U", "ledger", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"],
            **as_user,
            capture_output=True,
            text=True,
            cwd=folder,
        )
        assert made.returncode == 0, made.stderr
        log = stack.enter_context((folder / "log").open("wb"))
        options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off"]
        server = subprocess.Popen(
            [postgres, "-D", data, "-k", folder, *options], **as_user, stdout=log, stderr=log, cwd=folder
        )
        stack.callback(server.wait, timeout=20)
        stack.callback(server.send_signal, signal.SIGQUIT)  # at once, without saving anything
        _wait_until_it_answers(folder, server)
        yield folder


@pytest.fixture
def postgres_url(postgres: Path) -> URL:
    """An empty PostgreSQL database: the one of this run, emptied."""
    with psycopg.connect(host=str(postgres), user="ledger", dbname="postgres") as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return parse_url(f"postgresql://ledger@/postgres?host={postgres}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        if _ready(port):
            return
        time.sleep(0.02)
    pytest.fail(f"prometheus does not become ready: {log.read_text()[-2000:]}")


def _ready(port: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=1)) as connection:
        try:
            connection.request("GET", "/-/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
