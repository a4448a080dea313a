"""A real proxy in front of a real upstream socket, both in the test's loop."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import uvloop
from msgspec.structs import replace
from sqlalchemy import select

from ledger import store
from ledger.schema import request_logs
from ledger.values import RequestEvent, Usage
from proxy.service import Service, serving
from settings.model import Settings
from tests.support.ledgers import place_prepared


@dataclass
class Proxy:
    """A running proxy and what it recorded."""

    service: Service
    database: Path
    log: io.StringIO = field(default_factory=io.StringIO)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.service.port}"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    @property
    def port(self) -> int:
        return self.service.port

    def rows(self) -> list[dict[str, Any]]:
        """All stored requests, oldest first; what waits is stored first."""
        self.service.instruments.deliver()
        self.service.instruments.writers.events.flush()
        engine = store.reader(store.sqlite_url(self.database))
        try:
            with engine.connect() as connection:
                found = connection.execute(select(request_logs).order_by(request_logs.c.id))
                return [dict(row._mapping) for row in found]
        finally:
            engine.dispose()

    def samples(self) -> dict[str, float]:
        """The scrape as `name{labels}` -> value."""
        self.service.instruments.deliver()
        lines = self.service.instruments.scrape()[0].decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the program runs on; it differs from asyncio's own where connections break."""
    return {"uvloop": uvloop.new_event_loop}


StartProxy = Callable[..., Any]


@pytest.fixture
async def start_proxy(tmp_path: Path) -> AsyncIterator[StartProxy]:
    """Starts proxies that end with the test: `await start_proxy(upstream_url, server={...})`."""
    async with AsyncExitStack() as stack:

        async def start(upstream: str, **sections: dict[str, Any]) -> Proxy:
            return await stack.enter_async_context(running(tmp_path / "usage.db", upstream, sections))

        yield start


@asynccontextmanager
async def running(database: Path, upstream: str, sections: dict[str, dict[str, Any]]) -> AsyncIterator[Proxy]:
    document: dict[str, dict[str, Any]] = {
        name: dict(values) if isinstance(values, dict) else values for name, values in sections.items()
    }
    server = document.setdefault("server", {})
    server.setdefault("listen_addr", "127.0.0.1:0")
    server.setdefault("upstream_base_url", upstream)
    server.setdefault("shutdown_timeout_seconds", 1)
    storage = document.setdefault("storage", {})
    if storage.setdefault("database_path", str(database)) == str(database) and "database_url" not in storage:
        place_prepared(database, document.get("pricing"))
    document.setdefault("callers", {"hosts": ["proxy"]})  # what the requests of `Wire` call it
    log = io.StringIO()
    async with serving(Settings.model_validate(document), log) as service:
        yield Proxy(service, database, log)


@dataclass(frozen=True)
class Message:
    """An HTTP message as it went over the wire.

    Attributes:
        head: start line and headers, with the blank line behind them.
        raw: the body as it came, chunk sizes and trailers included.
        body: the body without its transfer coding.
        complete: False where the connection ended before the body did.
    """

    head: bytes
    raw: bytes
    body: bytes
    complete: bool = True

    @property
    def start(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Names and values in their order, spelled as they came."""
        lines = self.head.split(b"\r\n")[1:-2]
        return [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]

    def values(self, name: bytes) -> list[bytes]:
        """All values of a header, whatever the case of its name."""
        return [value for key, value in self.fields if key.lower() == name.lower()]


class Line:
    """A TCP connection of which every byte is sent and seen as it is, from either end."""

    patience = 20.0
    """Seconds after which whatever is awaited counts as never coming."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.messages: list[Message] = []

    async def send(self, *parts: bytes, pause: float = 0.01) -> None:
        """Write parts one after the other, with a pause (seconds) in between: a segment for each."""
        for number, part in enumerate(parts):
            if number:
                await asyncio.sleep(pause)
            self.writer.write(part)
            await self.writer.drain()

    async def head(self) -> bytes:
        return await self.until(b"\r\n\r\n")

    async def until(self, end: bytes) -> bytes:
        """All bytes up to these, themselves included."""
        async with asyncio.timeout(self.patience):
            return await self.reader.readuntil(end)

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(self.patience):
            return await self.reader.readexactly(count)

    async def rest(self) -> bytes:
        """Everything until the other end closes; what came before a reset counts too."""
        parts = []
        async with asyncio.timeout(self.patience):
            with suppress(ConnectionResetError):
                while part := await self.reader.read(1 << 16):
                    parts.append(part)
        return b"".join(parts)

    async def message(self, *, bodiless: bool = False) -> Message:
        """The next request or answer, with the body that its head announces.

        Args:
            bodiless: whatever the head says, no body follows (the answer to a HEAD).
        Raises: IncompleteReadError where the connection ends before a head.
        """
        head = await self.head()
        found = Message(head, b"", b"")
        if not bodiless:
            found = await self._with_body(found)
        self.messages.append(found)
        return found

    async def _with_body(self, found: Message) -> Message:
        if found.values(b"Transfer-Encoding"):
            return await self._chunked(found.head)
        length = found.values(b"Content-Length")
        if length:
            body = await self._up_to(int(length[0]))
            return Message(found.head, body, body, len(body) == int(length[0]))
        empty = not found.start.startswith(b"HTTP/") or found.start.split()[1] in (b"204", b"304")
        body = b"" if empty else await self.rest()
        return Message(found.head, body, body)

    async def _chunked(self, head: bytes) -> Message:
        raw, body = bytearray(), bytearray()
        try:
            while True:
                line = await self.until(b"\r\n")
                raw += line
                size = int(line.partition(b";")[0], 16)
                if size == 0:
                    break
                data = await self.exactly(size + 2)
                raw += data
                body += data[:-2]
            while line != b"\r\n":
                line = await self.until(b"\r\n")
                raw += line
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return Message(head, bytes(raw), bytes(body), complete=False)
        return Message(head, bytes(raw), bytes(body))

    async def _up_to(self, count: int) -> bytes:
        try:
            return await self.exactly(count)
        except asyncio.IncompleteReadError as error:
            return error.partial
        except ConnectionResetError:
            return b""

    def reset(self) -> None:
        """End the connection as a crash does: RST instead of FIN."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        """End the connection; what is written still arrives."""
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


Play = Callable[[Line], Awaitable[None]]


@dataclass
class RawUpstream:
    """An upstream that writes the bytes that a test gives it, and nothing else.

    Attributes:
        lines: the connections that it accepted.
    """

    port: int = 0
    lines: list[Line] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Message]:
        """The requests as they arrived, connection by connection."""
        return [message for line in self.lines for message in line.messages]


def _answering(answers: Sequence[bytes]) -> Play:
    left = deque(answers)

    async def play(line: Line) -> None:
        while True:
            await line.message()
            await line.send(left.popleft() if len(left) > 1 else left[0])

    return play


@asynccontextmanager
async def _listening(play: Play) -> AsyncIterator[RawUpstream]:
    upstream = RawUpstream()
    tasks: set[asyncio.Task[None]] = set()

    async def talk(line: Line) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
                await play(line)
        except Exception as error:  # told at the end: in here nobody would see it
            upstream.failures.append(error)
        finally:
            line.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(reader, writer)
        upstream.lines.append(line)
        tasks.add(asyncio.create_task(talk(line)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for line in upstream.lines:
            await line.close()
    assert upstream.failures == []


class Wire:
    """HTTP messages spelled out."""

    @staticmethod
    def head(start: str, *headers: str) -> bytes:
        return "\r\n".join((start, *headers, "", "")).encode("latin-1")

    @staticmethod
    def request(
        body: bytes = b'{"model":"gpt-5.4","stream":true}',
        *headers: str,
        path: str = "/v1/responses",
        method: str = "POST",
    ) -> bytes:
        """A request; with a Content-Length where there is a body."""
        length = (f"Content-Length: {len(body)}",) if body else ()
        return Wire.head(f"{method} {path} HTTP/1.1", "Host: proxy", *headers, *length) + body

    @staticmethod
    def answer(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> bytes:
        """An answer with a Content-Length, JSON where the headers say nothing else."""
        headers = headers or ("Content-Type: application/json",)
        return Wire.head(f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}") + body

    @staticmethod
    def stream(*headers: str) -> bytes:
        """The head of a chunked event stream."""
        return Wire.head(
            "HTTP/1.1 200 OK", "Content-Type: text/event-stream", *headers, "Transfer-Encoding: chunked"
        )

    @staticmethod
    def chunk(data: bytes) -> bytes:
        return f"{len(data):x}\r\n".encode() + data + b"\r\n"

    @staticmethod
    def events(*documents: Mapping[str, Any] | str) -> bytes:
        """Documents as events; a text stands for itself."""
        texts = (d if isinstance(d, str) else json.dumps(d) for d in documents)
        return b"".join(b"data: " + text.encode() + b"\n\n" for text in texts)

    end = b"0\r\n\r\n"


@pytest.fixture
def wire() -> type[Wire]:
    """Spells out HTTP messages."""
    return Wire


@dataclass
class Scene:
    """A raw upstream, a proxy in front of it, and clients: all that a test of bytes needs."""

    database: Path
    stack: AsyncExitStack
    upstream: RawUpstream = field(init=False)
    proxy: Proxy = field(init=False)
    _proxies: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def begin(self, *script: Any, **sections: Any) -> None:
        """Start both.

        Args:
            script: byte strings, each the answer to one request, the last one for ever; or one function,
                to which all that happens on a connection is left: `play(line)`.
            sections: the proxy's settings, table by table; UPSTREAM in a text is the upstream's address.
        """
        play = script[0] if callable(script[0]) else _answering(script)
        self.upstream = await self.stack.enter_async_context(_listening(play))
        await self.stack.enter_async_context(self._proxies)
        self.proxy = await self._proxies.enter_async_context(
            running(self.database, self.upstream.url, _filled(sections, self.upstream.url))
        )

    async def end(self) -> None:
        """Stop the proxy as a signal does."""
        await self._proxies.aclose()

    async def connect(self) -> Line:
        """A client's connection to the proxy."""
        line = Line(*await asyncio.open_connection("127.0.0.1", self.proxy.port, limit=1 << 22))
        self.stack.push_async_callback(line.close)
        return line

    async def ask(self, *request: bytes, bodiless: bool = False) -> Message:
        """The answer to a request on a connection of its own."""
        line = await self.connect()
        await line.send(*request)
        return await line.message(bodiless=bodiless)

    async def rows(self, count: int = 1) -> list[dict[str, Any]]:
        """The stored requests, as soon as there are so many; one more is one too many."""
        await self.until(lambda: len(self.proxy.rows()) >= count)
        rows = self.proxy.rows()
        assert len(rows) == count
        return rows

    async def row(self) -> dict[str, Any]:
        """The one stored request."""
        return (await self.rows())[0]

    async def until(self, true: Callable[[], object]) -> None:
        """Wait until something is so."""
        deadline = monotonic() + Line.patience
        while not true():
            if monotonic() > deadline:
                pytest.fail("what was awaited does not come")
            await asyncio.sleep(0.01)


def _filled(sections: dict[str, Any], url: str) -> dict[str, Any]:
    filled: dict[str, Any] = json.loads(json.dumps(sections).replace("UPSTREAM", url))
    return filled


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """A raw upstream, a proxy and clients that end with the test."""
    async with AsyncExitStack() as stack:
        yield Scene(tmp_path / "usage.db", stack)


@dataclass
class Program:
    """`python -m proxy` as a process of its own.

    Attributes:
        log: what it writes to stderr.
    """

    process: asyncio.subprocess.Process
    database: Path
    log: Path
    port: int = 0

    async def ended(self, within: float = 10.0) -> int:
        """The exit code."""
        async with asyncio.timeout(within):
            return await self.process.wait()


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Program]]]:
    """Starts the program: `running = await program(upstream_url, server={...})`; it ends with the test."""
    started: list[Program] = []

    async def start(upstream: str, **sections: dict[str, Any]) -> Program:
        server = {"listen_addr": "127.0.0.1:0", "upstream_base_url": upstream, **sections.pop("server", {})}
        storage = {"database_path": str(tmp_path / "usage.db"), **sections.pop("storage", {})}
        place_prepared(Path(storage["database_path"]))
        config = tmp_path / "proxy.toml"
        config.write_text(_toml({"server": server, "storage": storage, **sections}))
        with (tmp_path / "log").open("w") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "proxy", "--config", str(config)),
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
                cwd=tmp_path,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        running = Program(process, tmp_path / "usage.db", tmp_path / "log")
        started.append(running)
        assert process.stdout is not None
        async with asyncio.timeout(30):
            told = (await process.stdout.readline()).decode()
        assert told.startswith("proxy: http://"), running.log.read_text()
        running.port = int(told.split("/v1 ->")[0].rpartition(":")[2])
        return running

    yield start
    for running in started:
        if running.process.returncode is None:
            running.process.kill()
        await running.process.communicate()


def _toml(document: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for table, values in document.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    return "\n".join(lines)


@pytest.fixture(scope="session")
def make_event() -> Callable[..., RequestEvent]:
    """Makes a plain successful request; anything can be set. Ids count up."""
    numbers = count()

    def make(**changes: Any) -> RequestEvent:
        number = next(numbers)
        plain = RequestEvent(
            id=f"event-{number}",
            account_id="default",
            api_key_id="sk-a...wxyz",
            request_id=f"req_{number}",
            requested_at=datetime(2026, 11, 1, 12, tzinfo=UTC),
            method="POST",
            route="/v1/responses",
            api="responses",
            model="gpt-5.4",
            usage=Usage(1_000, 100, 200, 50),
            status="success",
            http_status=200,
            end_reason="done",
            latency_ms=1_234.5,
        )
        return replace(plain, **changes)

    return make


MakeEvent = Callable[..., RequestEvent]
