"""The writer process: what is sent to it is stored once, whatever ends in between."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from ledger import store
from ledger.requests import writes
from ledger.values import DEFAULT_ACCOUNT, NO_USAGE, UsageSample
from ledger.writing import OpenLedger
from proxy.observers import messages, writer_process
from proxy.observers.ledger_writer import LedgerWriter
from proxy.observers.messages import Task
from proxy.observers.writer_process import Encoded, WriterProcess
from proxy.writer import NICE

if TYPE_CHECKING:
    from tests.proxy.conftest import MakeEvent


class Desk:
    """A ledger with a writer process before it."""

    def __init__(self, database: Path) -> None:
        self.database = database

        def prepare(engine: Any) -> None:
            store.migrate(engine)
            with engine.begin() as connection:
                writes.ensure_account(connection, id=DEFAULT_ACCOUNT, created_at=datetime.now(UTC))

        url = store.sqlite_url(database)
        self.ledger = OpenLedger(url, prepare)
        self.process = WriterProcess(self.ledger, Task(str(url), 30))
        self.writer: LedgerWriter[bytes] = LedgerWriter(
            self.process.store("events"), interval=60, max_waiting=100_000
        )
        self.take = Encoded(self.writer)

    @property
    def pid(self) -> int:
        running = self.process._process
        assert running is not None
        return running.pid

    def ids(self) -> list[str]:
        with closing(sqlite3.connect(self.database)) as connection:
            return [row[0] for row in connection.execute("SELECT request_id FROM request_logs ORDER BY id")]

    def flush(self) -> None:
        """Until all is stored."""
        deadline = monotonic() + 20
        self.writer.flush()
        while self.writer.waiting:
            assert monotonic() < deadline
            sleep(0.02)
            self.writer.flush()

    def close(self) -> None:
        self.process.close()
        self.ledger.close()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(writer_process, "FIRST_PAUSE", 0.01)
    made = Desk(tmp_path / "usage.db")
    yield made
    made.close()


def test_a_message_says_the_same_as_the_event(make_event: MakeEvent) -> None:
    """Field by field, with the very value that stands for no counts, and texts as the ledger takes them."""
    full = make_event(
        extra_units={"pages": Decimal("1.50")},
        provider_cost_usd=Decimal("0.0100"),
        requested_at=datetime.now(UTC),
        failure_body="{}",
        login=True,
    )
    nothing = make_event(usage=NO_USAGE, user_agent="caf\udce9", status="error")
    first, second = messages.read_events(messages.packed([messages.encoded(full), messages.encoded(nothing)]))
    assert first == full
    assert first.requested_at.tzinfo is not None
    assert str(first.provider_cost_usd) == "0.0100"
    assert second.usage is NO_USAGE
    assert second.user_agent == "caf?"


def test_requests_go_first_where_the_machine_is_busy(desk: Desk, make_event: MakeEvent) -> None:
    desk.take([make_event()])
    desk.flush()
    here = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, desk.pid) == min(19, here + NICE)
    assert os.getsid(desk.pid) == os.getsid(0), "Linux shares time between sessions first"
    assert os.getpgid(desk.pid) == desk.pid, "Ctrl-C is for the proxy"


def test_samples_pass_too(desk: Desk) -> None:
    sample = UsageSample(DEFAULT_ACCOUNT, datetime.now(UTC), "primary", 12.5, reset_at=1_800_000_000)
    assert messages.read_samples(messages.packed([messages.encoded(sample)])) == [sample]
    desk.process.store("samples")([messages.encoded(sample)], again=False)
    with closing(sqlite3.connect(desk.database)) as connection:
        assert connection.execute("SELECT used_percent FROM usage_history").fetchall() == [(12.5,)]


def test_a_writer_that_is_killed_is_replaced_and_nothing_is_lost_or_stored_twice(
    desk: Desk, make_event: MakeEvent
) -> None:
    events = [make_event() for _ in range(300)]
    for start in range(0, 300, 100):
        desk.take(events[start : start + 100])
        desk.flush()
        os.kill(desk.pid, signal.SIGKILL)
    desk.take([make_event(request_id="last")])
    desk.flush()
    assert desk.ids() == [*(e.request_id for e in events), "last"]
    assert desk.writer.dropped == 0


def test_a_batch_whose_answer_is_lost_is_not_stored_twice(
    desk: Desk, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is killed after its commit and before its answer is read."""
    receive = messages.receive

    def lost(line: Any) -> bytes:
        receive(line)
        os.kill(desk.pid, signal.SIGKILL)
        raise EOFError

    monkeypatch.setattr(messages, "receive", lost)
    desk.take([make_event(request_id="one")])
    desk.writer.flush()
    assert not desk.writer.healthy
    assert desk.writer.waiting == 1
    monkeypatch.setattr(messages, "receive", receive)
    desk.flush()
    assert desk.ids() == ["one"]


def test_a_process_that_cannot_be_started_is_waited_for(
    desk: Desk, make_event: MakeEvent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where no memory or no descriptor is left, or Python is being replaced: no request is at fault."""
    with monkeypatch.context() as changed:
        changed.setattr(sys, "executable", "/no/such/python")
        desk.take([make_event(request_id=f"{n}") for n in range(3)])
        desk.writer.flush()
        assert (desk.writer.healthy, desk.writer.waiting, desk.writer.dropped) == (False, 3, 0)
        desk.process.look()  # a thread that this ends stores nothing any more
    assert "cannot be started: No such file or directory" in caplog.text
    desk.flush()
    assert desk.ids() == ["0", "1", "2"]


def test_an_item_that_no_store_takes_costs_only_itself(
    desk: Desk, make_event: MakeEvent, caplog: pytest.LogCaptureFixture
) -> None:
    events = [make_event(), make_event(account_id=None), make_event()]
    desk.take(events)
    desk.flush()
    assert desk.ids() == [events[0].request_id, events[2].request_id]
    assert desk.writer.dropped == 1
    assert "ValidationError" in caplog.text


def test_a_ledger_that_is_locked_is_waited_for(desk: Desk, make_event: MakeEvent) -> None:
    desk.take([make_event(request_id="one")])
    with closing(sqlite3.connect(desk.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        desk.writer.flush()
        assert not desk.writer.healthy
        assert desk.writer.waiting == 1
        other.execute("ROLLBACK")
    desk.flush()
    assert desk.ids() == ["one"]


def test_a_ledger_that_is_replaced_is_made_ready_first(desk: Desk, make_event: MakeEvent) -> None:
    desk.take([make_event(request_id="before")])
    desk.flush()
    for file in desk.database.parent.glob("usage.db*"):
        file.unlink()
    desk.take([make_event(request_id="after")])
    desk.flush()
    assert desk.ids() == ["after"]


def test_what_was_sent_whole_is_stored_though_the_proxy_is_killed(desk: Desk, make_event: MakeEvent) -> None:
    """It goes on with what it has when the other end of its line is gone, deaf to signals, and ends."""
    desk.take([make_event()])
    desk.flush()
    line, process = desk.process._line, desk.process._process
    assert line is not None
    assert process is not None
    items = [messages.encoded(make_event()) for _ in range(2_000)]
    head = messages.Batch("events", len(items), again=False, identity=desk.ledger.ready())
    process.send_signal(signal.SIGTERM)
    messages.send(line, messages.encode(head), messages.packed(items))
    line.close()
    assert process.wait(20) == 0
    assert len(desk.ids()) == 2_001


def test_a_process_without_a_proxy_ends() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        number = theirs.fileno()
        command = [sys.executable, "-m", "proxy.writer", str(number)]
        done = subprocess.run(command, pass_fds=(number,), check=False, timeout=30)
    assert done.returncode == 0
