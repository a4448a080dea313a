"""Backups are whole, whatever happens meanwhile; restoring never loses a ledger."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, text

from ledger.errors import StoreError, StoreUnavailable
from ledger.requests.writes import record
from ledger.schema import request_hourly, request_rows
from ledger.store import migrate, sqlite_url, writer
from ledger.upkeep import copies
from ledger.values import RequestEvent
from tests.ledger.test_schema import revisions, upgrade
from tests.support.ledgers import migrated

NOW = datetime(2026, 8, 21, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "usage.db"


@pytest.fixture
def ledger(file: Path, make_event: Callable[..., RequestEvent]) -> Iterator[Engine]:
    engine = migrated(file)
    with engine.begin() as connection:
        record(connection, [make_event() for _ in range(50)])
    yield engine
    engine.dispose()


def counted(file: Path) -> tuple[int, int]:
    """Requests by their rows, and by the sums."""
    engine = writer(sqlite_url(file))
    try:
        with engine.connect() as connection:
            rows = connection.execute(select(func.count()).select_from(request_rows)).scalar_one()
            return rows, connection.execute(select(func.sum(request_hourly.c.requests))).scalar_one()
    finally:
        engine.dispose()


@pytest.mark.slow
def test_a_backup_while_the_ledger_is_written_is_one_moment_of_it(
    ledger: Engine, file: Path, make_event: Callable[..., RequestEvent]
) -> None:
    stop, longest = threading.Event(), [0.0]
    with ledger.begin() as connection:
        record(connection, [make_event(session_id="x" * 150) for _ in range(5_000)])

    def write() -> None:
        while not stop.is_set():
            began = time.monotonic()
            with ledger.begin() as connection:
                record(connection, [make_event() for _ in range(10)])
            longest[0] = max(longest[0], time.monotonic() - began)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for number in range(3):
            copy = copies.make(file, file.with_name(f"copy-{number}"))
            rows, sums = counted(copy.path)
            assert rows == sums == copy.requests
            assert rows % 10 == 0
    finally:
        stop.set()
        thread.join()
    assert counted(file)[0] > rows  # it was written to meanwhile
    assert copy.path.stat().st_mode & 0o777 == 0o600
    assert not list(file.parent.glob("*.unfinished*"))


def test_a_backup_never_replaces_a_file(ledger: Engine, file: Path) -> None:
    copies.make(file, file.with_name("copy"))
    with pytest.raises(StoreError, match="already exists; choose another name"):
        copies.make(file, file.with_name("copy"))


def test_a_backup_that_was_killed_leaves_no_copy_and_the_next_one_works(ledger: Engine, file: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from ledger.upkeep import copies\n"
        "def stop(done, of): print(done, flush=True); time.sleep(60)\n"
        "copies.make(Path(sys.argv[1]), Path(sys.argv[2]), stop)"
    )
    target = file.with_name("copy")
    command = [sys.executable, "-c", script, str(file), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert not target.exists()
    assert target.with_name("copy.unfinished").exists()
    assert copies.make(file, target).requests == 50
    assert not list(file.parent.glob("*.unfinished*"))


def test_restore_wants_to_be_told_and_keeps_what_was_there(ledger: Engine, file: Path) -> None:
    copy = copies.make(file, file.with_name("copy"))
    with ledger.begin() as connection:
        connection.execute(text("DELETE FROM request_rows"))
    with pytest.raises(StoreError, match="--replace"):
        copies.restore(copy.path, file, replace=False, now=NOW)
    ledger.dispose()
    _, kept = copies.restore(copy.path, file, replace=True, now=NOW)
    assert counted(file) == (50, 50)
    assert kept is not None
    assert counted(kept) == (0, 50)


def test_restore_into_nothing(ledger: Engine, file: Path) -> None:
    copy = copies.make(file, file.with_name("copy"))
    elsewhere = file.with_name("other.db")
    assert copies.restore(copy.path, elsewhere, replace=False, now=NOW)[1] is None
    assert counted(elsewhere) == (50, 50)


def test_a_ledger_that_somebody_uses_is_not_replaced(
    ledger: Engine, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = copies.make(file, file.with_name("copy"))
    monkeypatch.setattr(copies, "WAIT_SECONDS", 0.3)
    with ledger.connect() as connection:
        connection.execute(text("SELECT 1 FROM request_rows")).all()
        with pytest.raises(StoreUnavailable, match="in use"):
            copies.restore(copy.path, file, replace=True, now=NOW)
    assert counted(file) == (50, 50)


@pytest.mark.parametrize(
    "moment", ["os.link(ledger, kept)", "incoming.replace(ledger)", "_sync(ledger.parent)"]
)
def test_a_restore_that_was_killed_leaves_one_ledger_or_the_other(
    ledger: Engine, file: Path, moment: str, make_event: Callable[..., RequestEvent]
) -> None:
    copy = copies.make(file, file.with_name("copy"))
    with ledger.begin() as connection:
        record(connection, [make_event()])
    ledger.dispose()
    source = Path(copies.__file__).read_text()
    assert moment in source
    script = source.replace(moment, "os.kill(os.getpid(), 9)", 1) + (
        f"\nrestore(Path({str(copy.path)!r}), Path({str(file)!r}), replace=True, now=datetime.now(UTC))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert counted(file) in ((50, 50), (51, 51))
    copies.restore(copy.path, file, replace=True, now=NOW)
    assert counted(file) == (50, 50)


@pytest.mark.parametrize("what", ["missing", "text", "another", "damaged", "newer"])
def test_what_is_no_backup_is_refused_in_one_line(ledger: Engine, file: Path, what: str) -> None:
    copy = copies.make(file, file.with_name("copy")).path
    if what == "missing":
        copy.unlink()
    elif what == "text":
        copy.write_text("a shopping list " * 100)
    elif what == "another":
        copy.unlink()
        with closing(sqlite3.connect(copy)) as store:
            store.execute("CREATE TABLE x (y)")
    elif what == "damaged":
        size = copy.stat().st_size
        with copy.open("r+b") as opened:
            opened.seek(size // 2 // 4096 * 4096)
            opened.write(os.urandom(4096))
    else:
        with closing(sqlite3.connect(copy)) as store, store:
            store.execute("UPDATE alembic_version SET version_num = '9999'")
    said = {
        "missing": "no such file",
        "text": "not a backup",
        "another": "not a backup",
        "newer": "newer schema",
    }
    with pytest.raises(StoreError, match=said.get(what, "damaged|malformed")) as caught:
        copies.restore(copy, file, replace=True, now=NOW)
    assert "\n" not in str(caught.value)
    assert counted(file) == (50, 50)


def test_an_upgrade_makes_a_backup_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "usage.db"
    migrated(tmp_path / "new.db").dispose()
    assert not list(tmp_path.glob("*before*"))  # a new ledger needs none
    engine = _older(file)
    migrate(engine)
    engine.dispose()
    (copy,) = tmp_path.glob("*.before-*")
    assert copies.checked(copy).schema == revisions()[-2]
    assert "is as it was before" in caplog.text


def test_processes_that_start_together_wait_for_the_one_that_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, made, plain = sqlite_url(tmp_path / "usage.db"), list[Path](), copies.make
    _older(tmp_path / "usage.db").dispose()

    def slow(ledger: Path, target: Path) -> copies.Copy:
        made.append(target)
        time.sleep(2.0)  # longer than they wait for other locks
        return plain(ledger, target)

    monkeypatch.setattr(copies, "make", slow)
    engines = [writer(url, busy_timeout_seconds=1.0) for _ in range(3)]
    with ThreadPoolExecutor() as threads:
        list(threads.map(migrate, engines))
    for engine in engines:
        engine.dispose()
    assert len(made) == 1


def test_an_upgrade_without_space_for_a_backup_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = _older(tmp_path / "usage.db")
    monkeypatch.setattr(copies, "free_bytes", lambda target: 10)
    migrate(engine)
    engine.dispose()
    assert "no backup is made before the upgrade" in caplog.text
    assert "10 are free" in caplog.text
    assert not list(tmp_path.glob("*before*"))


def test_a_newer_ledger_is_refused_in_one_line_and_left_alone(tmp_path: Path) -> None:
    engine = migrated(tmp_path / "usage.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"newer schema \(9999") as caught:
        migrate(engine)
    engine.dispose()
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*before*"))


def _older(file: Path) -> Engine:
    """A ledger as the version before this one made it."""
    engine = writer(sqlite_url(file))
    upgrade(engine, revisions()[-2])
    return engine
