"""A real console on a real ledger and a real socket, and a real Chromium."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine

from ledger.requests.writes import record
from ledger.values import RequestEvent, Usage
from tests.support.ledgers import migrated

ROOT = Path(__file__).parents[2]
NOW = datetime.now(UTC)
EVENT = RequestEvent(
    id="e",
    account_id="anna",
    api_key_id="team-a",
    request_id="r",
    requested_at=NOW,
    method="POST",
    route="/v1/responses",
    api="responses",
    model="gpt-5.4",
    usage=Usage(1_000, 200, 400, 50),
    status="success",
    http_status=200,
    end_reason="done",
    latency_ms=1_500.0,
    latency_first_token_ms=300.0,
    provider="openai",
    user_agent="codex/1",
    session_id="conversation-1",
)
FAILED: dict[str, Any] = {
    "status": "error",
    "usage": Usage(),
    "end_reason": "upstream_error",
    "http_status": 429,
    "error_code": "rate_limit_exceeded",
    "error_class": "rate_limit",
    "error_message": "Rate limit reached.",
    "latency_first_token_ms": None,
}


@dataclass
class Books:
    """A ledger to put requests into."""

    path: Path
    engine: Engine
    count: int = 0

    def add(self, number: int = 1, ago: timedelta = timedelta(minutes=1), **fields: Any) -> None:
        """Requests that ended so long ago, a second apart."""
        events: list[RequestEvent] = []
        for _ in range(number):
            self.count += 1
            at = fields.get("requested_at", datetime.now(UTC) - ago - timedelta(seconds=len(events)))
            named = {"id": f"e{self.count}", "request_id": f"r{self.count}", **fields, "requested_at": at}
            events.append(replace(EVENT, **named))
        with self.engine.begin() as connection:
            record(connection, events)

    def fail(self, number: int = 1, ago: timedelta = timedelta(minutes=1), **fields: Any) -> None:
        self.add(number, ago, **{**FAILED, **fields})


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """An empty ledger."""
    path = tmp_path / "usage.db"
    engine = migrated(path)
    yield Books(path, engine)
    engine.dispose()


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Console:
    """`python -m console` as its users run it."""

    port: int
    process: subprocess.Popen[str]
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One request, by a caller that keeps its cookie and follows nothing."""
        sent = {"Accept": "text/html", **self.headers, **(headers or {})}
        if self.cookie:
            sent.setdefault("Cookie", self.cookie)
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        found = {name.lower(): value for name, value in response.getheaders()}
        if "set-cookie" in found:
            self.cookie = found["set-cookie"].partition(";")[0]
        return Answer(response.status, found, text)

    def post(self, path: str, headers: dict[str, str] | None = None, **form: str) -> Answer:
        """A form, with the token of a page that was just opened."""
        page = self.get("/login" if "login" in path else "/usage")
        token = page.text.partition('name="csrf" content="')[2].partition('"')[0]
        body = urllib.parse.urlencode({"csrf": token, **form}).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        return self.ask("POST", path, body, kind)


@pytest.fixture
def serve(tmp_path: Path, books: Books, free_port: Callable[[], int]) -> Iterator[Callable[..., Console]]:
    """Starts a console with further lines of configuration; it ends with the test, in order."""
    running: list[Console] = []

    def start(text: str = "", console: str = "", ledger: str = "") -> Console:
        port = free_port()
        ledger = ledger or f'database_path = "{books.path}"'
        for key in ("proxy_url", "exporter_url", "prometheus_url"):  # never those that run on this machine
            if key not in console:
                console += f'\n{key} = "http://127.0.0.1:{free_port()}"'
        config = tmp_path / f"c{port}.toml"
        config.write_text(
            f'[storage]\n{ledger}\n[console]\nlisten_addr = "127.0.0.1:{port}"\n{console}\n{text}\n'
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "console", "--config", str(config)],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.append(Console(port, process))
        _wait_for(f"http://127.0.0.1:{port}/healthz", process)
        return running[-1]

    yield start
    for one in running:
        one.process.terminate()
    for one in running:
        output, _ = one.process.communicate(timeout=20)
        assert one.process.returncode == 0, output
        assert "Traceback" not in output, output


@dataclass
class Provider:
    """A provider that answers at once, and remembers by whose key it was asked, and when."""

    server: ThreadingHTTPServer
    asked: list[tuple[float, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def keys_since(self, moment: float) -> set[str]:
        return {key for at, key in self.asked if at >= moment}


@pytest.fixture
def provider() -> Iterator[Provider]:
    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            found.asked.append((time.monotonic(), self.headers["Authorization"].removeprefix("Bearer ")))
            body = b'{"model":"gpt-5.4","usage":{"input_tokens":10,"output_tokens":2}}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        found = Provider(server)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


@dataclass
class Asking:
    """A client that asks a proxy all the time."""

    url: str
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.ended.wait(0.05):
            asked = urllib.request.Request(
                f"{self.url}/v1/responses",
                data=b'{"model":"gpt-5.4","input":"hi"}',
                headers={"Content-Type": "application/json"},
            )
            with suppress(OSError), urllib.request.urlopen(asked, timeout=20) as answer:
                answer.read()


@pytest.fixture
def ask_proxy(
    tmp_path: Path, books: Books, provider: Provider, free_port: Callable[[], int]
) -> Iterator[Callable[..., str]]:
    """Starts a real proxy on the same ledger, and a client that asks it all the time until the test ends."""
    stack = ExitStack()

    def start(accounts: str, environ: dict[str, str]) -> str:
        port = free_port()
        config = tmp_path / f"p{port}.toml"
        config.write_text(
            f'[server]\nlisten_addr = "127.0.0.1:{port}"\nupstream_base_url = "{provider.url}"\n'
            f'[storage]\ndatabase_path = "{books.path}"\n{accounts}\n'
        )
        words = (sys.executable, "-m", "proxy", "--config", str(config))
        log = stack.enter_context((tmp_path / f"p{port}.log").open("w"))
        process = subprocess.Popen(
            words, cwd=ROOT, env={**environ, "PATH": os.environ["PATH"]}, stdout=log, stderr=log
        )
        stack.callback(process.wait, timeout=20)
        stack.callback(process.terminate)
        _wait_for(f"http://127.0.0.1:{port}/healthz", process)
        asking = Asking(f"http://127.0.0.1:{port}")
        thread = threading.Thread(target=asking.run)
        thread.start()
        stack.callback(thread.join)
        stack.callback(asking.ended.set)
        return asking.url

    with stack:
        yield start


def _wait_for(url: str, process: subprocess.Popen[Any]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(url):
            return
        time.sleep(0.05)
    process.kill()
    pytest.fail(f"{url} does not answer: {process.args!r}")


FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def chromium(binary: Callable[[str], str]) -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright; it ends with the module, for Playwright keeps a
    loop running in its process, in which no other test could run one."""
    from playwright.sync_api import sync_playwright

    path = binary("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page in a browser profile of its own. Whatever it complains of fails the test."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def open_at(url: str, **options: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        # A refusal that a test asks for is no complaint of the page.
        page.on(
            "console",
            lambda said: (
                complaints.append(said.text)
                if said.type == "error" and "the server responded with a status" not in said.text
                else None
            ),
        )
        page.goto(url)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert complaints == []


AXE = "4.14.1"


@pytest.fixture(scope="session")
def axe(binary: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's script, from npm: as the tests session installed it, or installed now."""
    known = ROOT / ".nox/axe/node_modules/axe-core/axe.min.js"
    if not known.exists():
        folder = tmp_path_factory.mktemp("axe")
        words = ("install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder))
        done = subprocess.run([binary("npm"), *words, f"axe-core@{AXE}"], capture_output=True, text=True)
        if done.returncode:
            reason = f"axe-core cannot be installed: {done.stderr[-300:]}"
            pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
        known = folder / "node_modules/axe-core/axe.min.js"
    return known.read_text(encoding="utf-8")
