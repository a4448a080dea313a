"""The outbox before a real PostgreSQL, which is killed and started again while two proxies are under load."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from threading import Barrier
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import aiohttp
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import URL

import ledger.outbox
from ledger import store
from ledger.outbox import Outbox, contents
from ledger.requests import writes
from ledger.values import DEFAULT_ACCOUNT, Usage
from ledger.writing import OpenLedger
from proxy.observers import messages, shipper
from proxy.observers.messages import Batch, Task
from proxy.writer import Writer
from simulator.provider.script import Answer, script
from simulator.provider.upstream import serve
from tests.conftest import _demoted, _wait_until_it_answers

if TYPE_CHECKING:
    from tests.proxy.conftest import MakeEvent

USAGE = Usage(100, 20, 40, 5)


class Server:
    """A PostgreSQL that can be killed and started again; what it committed stays."""

    def __init__(self, binary: Callable[[str], str], folder: Path) -> None:
        self._postgres, self._user, self.folder = binary("postgres"), _demoted(), folder
        if self._user:
            os.chown(folder, self._user["user"], self._user["group"])
        options = f"-D {folder}/data -U ledger -A trust --locale=C -N -E UTF8".split()
        command = [binary("initdb"), *options]
        subprocess.run(command, **self._user, check=True, capture_output=True, cwd=folder)
        self._process: subprocess.Popen[Any] | None = None
        self.url = store.parse_url(f"postgresql://ledger@/postgres?host={folder}")

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            command = f"-D {self.folder}/data -k {self.folder} -c listen_addresses=".split()
            started: subprocess.Popen[bytes] = subprocess.Popen(
                [self._postgres, *command], **self._user, stdout=log, stderr=log, cwd=self.folder
            )
        self._process = started
        _wait_until_it_answers(self.folder, started)

    def kill(self) -> None:
        """As a crash does: every process of it at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
            self._process = None

    def ask(self, query: str) -> Any:
        with psycopg.connect(host=str(self.folder), user="ledger", dbname="postgres") as connection:
            return connection.execute(query).fetchall()


@pytest.fixture
def server(binary: Callable[[str], str]) -> Iterator[Server]:
    folder = Path(mkdtemp(prefix="ledger-ob-"))  # short: a socket's path has at most 107 bytes
    made = Server(binary, folder)
    made.start()
    yield made
    made.kill()
    shutil.rmtree(folder, ignore_errors=True)


def until(true: Callable[[], object], seconds: float = 60) -> None:
    deadline = monotonic() + seconds
    while True:
        with suppress(psycopg.Error):
            if true():
                return
        assert monotonic() < deadline, "what was awaited does not come"
        sleep(0.05)


@contextmanager
def writing(url: URL, outbox: Path, max_bytes: int = 2**30) -> Iterator[Callable[..., messages.Outcome]]:
    """A writer with an outbox, in this process; takes events."""
    writer = Writer(Task(url.render_as_string(hide_password=False), 30, str(outbox), max_bytes))

    def take(*events: Any, again: bool = False) -> messages.Outcome:
        items = [messages.encoded(event) for event in events]
        return writer(Batch("events", len(items), again, None), messages.packed(items))

    try:
        yield take
    finally:
        writer.close()


def migrated(url: URL) -> None:
    def prepare(engine: Any) -> None:
        store.migrate(engine)
        with engine.begin() as connection:
            writes.ensure_account(connection, id=DEFAULT_ACCOUNT, created_at=datetime.now(UTC))

    OpenLedger(url, prepare).close()


def stored(url: URL) -> list[str]:
    with psycopg.connect(host=url.query["host"], user="ledger", dbname="postgres") as connection:  # type: ignore[arg-type]
        return [row[0] for row in connection.execute("SELECT event_id FROM request_rows ORDER BY id")]


def test_what_is_shipped_twice_is_stored_once(
    postgres_url: URL, tmp_path: Path, make_event: MakeEvent
) -> None:
    migrated(postgres_url)
    events = [make_event() for _ in range(50)]
    with writing(postgres_url, tmp_path / "outbox.db") as take:
        assert take(*events).unavailable is None
        assert take(*events, again=True).unavailable is None
        take(make_event(), *events[:5])
        until(lambda: len(stored(postgres_url)) == 51)
        until(lambda: take().outbox[0] == 0)
    assert len(stored(postgres_url)) == 51


def test_what_was_left_by_one_process_is_shipped_by_the_next(
    postgres_url: URL, tmp_path: Path, make_event: MakeEvent
) -> None:
    nowhere = store.parse_url("postgresql://nobody@/none?host=/nonexistent")
    with writing(nowhere, tmp_path / "outbox.db") as take:
        for _ in range(3):
            assert take(make_event(), make_event()).unavailable is None
        until(lambda: take().outbox[0] == 6)
    migrated(postgres_url)
    with writing(postgres_url, tmp_path / "outbox.db"):
        until(lambda: len(stored(postgres_url)) == 6)


def test_processes_that_start_at_once_make_one_file(tmp_path: Path) -> None:
    for number in range(20):
        path, together = tmp_path / f"outbox-{number}.db", Barrier(4)

        def opened(path: Path = path, together: Barrier = together) -> Outbox:
            together.wait(10)
            return Outbox(path, 2**20)

        with ThreadPoolExecutor(4) as pool:
            made = [pool.submit(opened) for _ in range(4)]
            for one in made:
                with closing(one.result().connect()) as connection:
                    assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)


def test_a_process_that_starts_does_not_wait_for_one_that_writes(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.db", 2**20)
    with closing(outbox.connect()) as busy:
        busy.execute("BEGIN IMMEDIATE")
        Outbox(tmp_path / "outbox.db", 2**20)


def test_an_outbox_that_cannot_be_used_for_a_while_is_shipped_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger.outbox, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(shipper, "LONGEST_PAUSE", 0.05)
    shipped: list[bytes] = []
    outbox = Outbox(tmp_path / "outbox.db", 2**20)
    ships = shipper.Shipper(outbox, {"samples": shipped.append})
    with closing(outbox.connect()) as other:
        outbox.append(other, "samples", 1, messages.packed([messages.encode("one")]))
        other.execute("BEGIN IMMEDIATE")
        ships.start()
        until(lambda: any("cannot be used now" in record.message for record in caplog.records))
        assert not shipped
    until(lambda: shipped)
    ships.end()
    assert not ships.is_alive()
    assert [messages.apart(body) for body in shipped] == [[messages.encode("one")]]


def test_a_batch_that_is_no_list_is_set_aside_and_all_behind_it_goes_on(tmp_path: Path) -> None:
    """As another version may write them: what it holds cannot be told apart."""
    shipped: list[bytes] = []

    def take(body: bytes) -> None:
        messages.apart(body)
        shipped.append(body)

    outbox = Outbox(tmp_path / "outbox.db", 2**20)
    with closing(outbox.connect()) as mine:
        outbox.append(mine, "samples", 3, b"\xc1" * 9)
        outbox.append(mine, "events", 1, messages.packed([messages.encode("one")]))
    ships = shipper.Shipper(outbox, {"samples": take, "events": take})
    ships.start()
    until(lambda: shipped)
    ships.end()
    found = ledger.outbox.contents(tmp_path / "outbox.db")
    assert found is not None
    assert (found.waiting, found.refused) == (0, {"damaged": 3})


def test_where_no_descriptor_is_left_it_is_shipped_once_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shipper, "LONGEST_PAUSE", 0.05)
    shipped: list[bytes] = []
    outbox, opened = Outbox(tmp_path / "outbox.db", 2**20), os.open
    with closing(outbox.connect()) as mine:
        outbox.append(mine, "samples", 1, messages.packed([messages.encode("one")]))

    def none_left(path: Any, *how: Any, **more: Any) -> int:
        if str(path).endswith(".lock") and not caplog.records:
            raise OSError(errno.EMFILE, "Too many open files")
        return opened(path, *how, **more)

    monkeypatch.setattr(os, "open", none_left)
    ships = shipper.Shipper(outbox, {"samples": shipped.append})
    ships.start()
    until(lambda: shipped)
    ships.end()
    assert "cannot be used now: Too many open files" in caplog.text


def test_it_takes_no_more_of_the_disk_than_it_may(tmp_path: Path, make_event: MakeEvent) -> None:
    most = 2**18
    nowhere = store.parse_url("postgresql://nobody@/none?host=/nonexistent")
    outbox = tmp_path / "outbox.db"
    with writing(nowhere, outbox, most) as take:
        taken = 0
        for _ in range(2_000):
            outcome = take(*(make_event(user_agent=os.urandom(60).hex()) for _ in range(20)))
            if outcome.unavailable:
                break
            taken += 20
        assert outcome.unavailable is not None
        assert "outbox" in outcome.unavailable
        with closing(sqlite3.connect(outbox)) as file:
            assert file.execute("SELECT sum(items) FROM batches").fetchone() == (taken,)
        assert outbox.stat().st_size < 2 * most
    assert (outbox.stat().st_mode & 0o777) == 0o600


POISON: dict[str, dict[str, Any]] = {
    "a NUL": {"id": "no\0text"},
    "a number out of range": {"usage": Usage(2**63, 1, 0, 0)},
    "no account": {"account_id": None, "status": None},
}


@pytest.mark.parametrize("poison", POISON)
def test_what_the_server_refuses_is_set_aside_and_all_behind_it_goes_on(
    poison: str, postgres_url: URL, tmp_path: Path, make_event: MakeEvent, caplog: pytest.LogCaptureFixture
) -> None:
    migrated(postgres_url)
    good = [make_event() for _ in range(40)]
    bad = make_event(**POISON[poison])
    with writing(postgres_url, tmp_path / "outbox.db") as take:
        take(*good[:15], bad, *good[15:30])
        until(lambda: stored(postgres_url) == [event.id for event in good[:30]])
        until(lambda: take().outbox[::2] == (0, 1))
        take(*good[30:])
        until(lambda: stored(postgres_url) == [event.id for event in good])
    ((_, _, told),) = caplog.record_tuples
    assert "set aside" in told
    assert str(2**63) not in told
    assert "no\0" not in told
    found = contents(tmp_path / "outbox.db")
    assert found is not None
    assert (found.waiting, list(found.refused.values())) == (0, [1])


def test_what_was_set_aside_is_tried_again_by_the_next_process(
    postgres_url: URL, tmp_path: Path, make_event: MakeEvent
) -> None:
    migrated(postgres_url)
    rejected = "ALTER TABLE request_rows ADD CONSTRAINT small CHECK (input_tokens < 500)"
    small = [make_event(usage=Usage(10, 1, 0, 0)) for _ in range(3)]
    with psycopg.connect(host=postgres_url.query["host"], user="ledger", dbname="postgres") as connection:  # type: ignore[arg-type]
        connection.execute(rejected)
    with writing(postgres_url, tmp_path / "outbox.db") as take:
        take(small[0], make_event(id="large"), *small[1:])
        until(lambda: take().outbox[::2] == (0, 1))
    assert stored(postgres_url) == [event.id for event in small]
    with psycopg.connect(host=postgres_url.query["host"], user="ledger", dbname="postgres") as connection:  # type: ignore[arg-type]
        connection.execute("ALTER TABLE request_rows DROP CONSTRAINT small")
    with writing(postgres_url, tmp_path / "outbox.db") as take:
        until(lambda: stored(postgres_url)[3:] == ["large"])
        until(lambda: take().outbox[::2] == (0, 0))


async def eventually(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await true():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_two_proxies_count_what_the_database_has_though_it_was_killed_under_load(
    server: Server, program: Callable[..., Any], tmp_path: Path
) -> None:
    async with serve(script(Answer(usage=USAGE))) as upstream, aiohttp.ClientSession() as session:
        proxies = [
            await program(
                upstream.origin,
                storage={
                    "database_url": server.url.render_as_string(),
                    "instance_id": name,
                    "outbox_path": str(tmp_path / f"{name}.db"),
                    "flush_interval_seconds": 0.1,
                },
            )
            for name in ("one", "two")
        ]
        asked = 0

        async def ask(count: int) -> None:
            nonlocal asked
            for number in range(count):
                url = f"http://127.0.0.1:{proxies[number % 2].port}/v1/responses"
                async with session.post(url, json={"model": "gpt-5.4", "input": "hi"}) as answer:
                    assert answer.status == 200
                    await answer.read()
                asked += 1

        async def sums(name: str) -> list[float]:
            found = []
            for proxy in proxies:
                async with session.get(f"http://127.0.0.1:{proxy.port}/metrics") as answer:
                    families = list(text_string_to_metric_families(await answer.text()))
                samples = [s for family in families for s in family.samples if s.name == name]
                found.append(sum(sample.value for sample in samples))
            return found

        async def drained() -> bool:
            waiting = [*await sums("codex_lb_proxy_outbox_size")]
            return not any([*waiting, *await sums("codex_lb_request_log_buffer_size")])

        async def filled() -> bool:
            return all(await sums("codex_lb_proxy_outbox_size"))

        async def begun() -> bool:
            return asked >= 40

        load = asyncio.gather(ask(60), ask(60))
        await eventually(begun)
        await asyncio.to_thread(server.kill)
        await load
        await asyncio.gather(ask(60), ask(60))
        await eventually(filled)
        await asyncio.to_thread(server.start)
        await asyncio.gather(ask(20), ask(20))
        await eventually(drained)
        assert sum(await sums("codex_lb_request_log_buffer_dropped_total")) == 0
        counted = await sums("codex_lb_proxy_requests_total")
        tokens = sum(await sums("codex_lb_proxy_tokens_total"))
        for proxy in proxies:
            proxy.process.terminate()
            assert await proxy.ended(30) == 0
    by_instance = "SELECT instance_id, count(*) FROM request_logs GROUP BY 1 ORDER BY 1"
    assert server.ask(by_instance) == [("one", counted[0]), ("two", counted[1])]
    assert sum(counted) == asked == 280
    ((hours, stored_tokens),) = server.ask(
        "SELECT sum(requests), sum(input_tokens + output_tokens + cached_input_tokens + reasoning_tokens)"
        " FROM (SELECT 1 AS requests, * FROM request_logs) AS r"
    )
    assert (hours, stored_tokens) == (280, tokens)
    assert server.ask("SELECT sum(requests) FROM daily_stats") == [(280,)]
