"""Reading somebody else's file without leaving a trace, whatever state it is in."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from ledger.errors import StoreChanged, StoreError
from ledger.reader.readonly import Reader, passes_by_itself
from ledger.store import sqlite_url

Files = dict[str, bytes]


@contextmanager
def owner(path: Path, mode: str = "WAL") -> Iterator[sqlite3.Connection]:
    """The program that a store belongs to, at work."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode={mode}")
        connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
        connection.execute("INSERT INTO t VALUES (1)")
        yield connection


def count(path: Path, patience: float = 0.1) -> int:
    with Reader(sqlite_url(path), busy_timeout_seconds=patience).reading() as connection:
        return int(connection.execute(text("SELECT count(*) FROM t")).scalar_one())


def files(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def at_work(path: Path) -> Iterator[None]:
    with owner(path):
        yield


def closed_cleanly(path: Path) -> Iterator[None]:
    with owner(path):
        pass
    yield


def rollback_journal(path: Path) -> Iterator[None]:
    with owner(path, "DELETE"):
        yield


def killed(path: Path) -> Iterator[None]:
    """With a -wal and a -shm that nobody holds."""
    with owner(path) as connection:
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(f"{path}{suffix}", f"{path}{suffix}.copy")
        connection.execute("DELETE FROM t")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}.copy").rename(f"{path}{suffix}")
    yield


def truncated_wal(path: Path) -> Iterator[None]:
    with owner(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        yield


STATES = [at_work, closed_cleanly, rollback_journal, killed, truncated_wal]


@pytest.mark.parametrize("state", STATES)
def test_it_is_read_and_nothing_beside_it_is_made_or_changed(
    tmp_path: Path, state: Callable[[Path], Iterator[None]]
) -> None:
    path = tmp_path / "store.db"
    with contextmanager(state)(path):
        before = files(tmp_path)
        assert count(path) == 1
        after = files(tmp_path)
        assert after.keys() == before.keys()
        shm = {"store.db-shm"} if state is at_work or state is truncated_wal else set()  # holds the locks
        assert {n: b for n, b in after.items() if n not in shm} == {
            n: b for n, b in before.items() if n not in shm
        }


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_what_its_owner_writes_is_read_at_once(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "store.db"
    with owner(path, mode) as connection:
        for number in range(2, 6):
            connection.execute("INSERT INTO t VALUES (1)")
            assert count(path) == number


def test_writing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with owner(path):
        with pytest.raises(StoreError, match="readonly database"):
            with Reader(sqlite_url(path)).reading() as connection:
                connection.execute(text("DELETE FROM t"))
        assert count(path) == 1


def test_a_wal_without_its_shm_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with contextmanager(killed)(path):
        Path(f"{path}-shm").unlink()
        before = files(tmp_path)
        with pytest.raises(StoreError, match="start the program that the store belongs to once"):
            count(path)
        assert files(tmp_path) == before
    with owner(path):
        assert count(path) == 2


def test_an_owner_that_starts_while_a_closed_file_is_read_spoils_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with owner(path):
        pass
    with pytest.raises(StoreChanged), Reader(sqlite_url(path)).reading() as connection:
        connection.execute(text("SELECT count(*) FROM t"))
        with owner(path):
            pass
    assert count(path) == 2


@pytest.mark.parametrize("state", [at_work, closed_cleanly])
def test_a_file_that_is_replaced_while_it_is_read_spoils_the_reading(
    tmp_path: Path, state: Callable[[Path], Iterator[None]]
) -> None:
    path, other = tmp_path / "store.db", tmp_path / "other.db"
    with owner(other):
        pass
    with contextmanager(state)(path):
        reader = Reader(sqlite_url(path))
        before = reader.identity()
        with pytest.raises(StoreChanged), reader.reading() as connection:
            connection.execute(text("SELECT count(*) FROM t"))
            other.replace(path)
        assert reader.identity() != before


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda path: path.unlink(), "unable to open database file"),
        (lambda path: path.write_bytes(b""), "no such table"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + b"\xee" * 4_096), "not a database"),
        (lambda path: path.write_bytes(path.read_bytes()[:4_000] + b"\xee" * 90), "malformed|not a database"),
        (lambda path: (path.unlink(), path.mkdir()), "unable to open database file"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_reads_again_later(
    tmp_path: Path, spoil: Callable[[Path], object], says: str
) -> None:
    path = tmp_path / "store.db"
    with owner(path, "DELETE"):
        pass
    kept = path.read_bytes()
    spoil(path)
    with pytest.raises(StoreError, match=says) as caught:
        count(path)
    assert "\n" not in str(caught.value)
    if path.is_dir():
        path.rmdir()
    path.write_bytes(kept)
    assert count(path) == 1


def test_a_locked_file_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with owner(path, "DELETE") as connection:
        connection.execute("BEGIN EXCLUSIVE")
        begin = time.monotonic()
        with pytest.raises(StoreError, match="database is locked"):
            count(path, patience=0.3)
        assert 0.25 < time.monotonic() - begin < 15
        connection.execute("COMMIT")
        assert count(path) == 1


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_its_owner_may_write_while_a_reading_goes_on(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "store.db"
    with owner(path, mode) as connection:
        connection.execute("PRAGMA busy_timeout=0")
        with Reader(sqlite_url(path)).reading() as reading:
            assert reading.execute(text("SELECT count(*) FROM t")).scalar_one() == 1
            connection.execute("INSERT INTO t VALUES (1)")  # would raise: each statement is one transaction
            assert reading.execute(text("SELECT count(*) FROM t")).scalar_one() == 2


def test_a_server_refuses_writing_and_holds_no_transaction(postgres_url: URL) -> None:
    reader = Reader(postgres_url)
    with reader.reading() as connection:
        assert connection.execute(text("SHOW default_transaction_read_only")).scalar_one() == "on"
        first = connection.execute(text("SELECT now()")).scalar_one()
        assert connection.execute(text("SELECT now()")).scalar_one() > first  # the time of a transaction
    with pytest.raises(StoreError, match="read-only transaction"), reader.reading() as connection:
        connection.execute(text("CREATE TABLE t (x int)"))
    reader.close()


def test_an_owner_that_closes_between_look_and_opening_leaves_its_wal_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "store.db"
    connect = sqlite3.connect
    with owner(path) as connection:
        wal = Path(f"{path}-wal").stat().st_ino

        def closing_first(*arguments: Any, **options: Any) -> Any:
            connection.close()
            return connect(*arguments, **options)

        monkeypatch.setattr(sqlite3, "connect", closing_first)
        assert count(path) == 1
    assert {p.name for p in tmp_path.iterdir()} == {"store.db", "store.db-wal", "store.db-shm"}
    assert Path(f"{path}-wal").stat().st_ino == wal  # the owner's, not one that we made


OWNER = """
import sqlite3, sys, time
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    store = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
    store.execute("INSERT INTO t VALUES (1)")
    store.close()
    time.sleep(0.002)
"""


def test_beside_an_owner_that_comes_and_goes_all_the_time_a_reading_succeeds_or_is_spoilt(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store.db"
    with owner(path):
        pass
    coming_and_going = subprocess.Popen([sys.executable, "-c", OWNER, path, "2"], stderr=subprocess.PIPE)
    outcomes = {"read": 0, "spoilt": 0}
    while coming_and_going.poll() is None:
        try:
            assert count(path, patience=1) >= 1
            outcomes["read"] += 1
        except StoreChanged:
            outcomes["spoilt"] += 1
    assert coming_and_going.communicate()[1] == b""
    assert outcomes["read"] > 50


def test_an_owner_that_keeps_its_file_to_itself_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with owner(path):
        pass
    held = "import sqlite3, sys; store = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
    held += "store.execute('PRAGMA locking_mode=EXCLUSIVE'); store.execute('INSERT INTO t VALUES (1)')\n"
    held += "print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", held, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(StoreError, match="database is locked"):
            count(path)
        process.communicate()
    assert count(path) == 2


def test_a_link_is_followed_to_where_the_wal_lies(tmp_path: Path) -> None:
    folder, link = tmp_path / "real", tmp_path / "link.db"
    folder.mkdir()
    link.symlink_to(folder / "store.db")
    with owner(folder / "store.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("INSERT INTO t VALUES (1)")
        assert count(link) == 2
    assert count(link) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link.db"}


def test_a_link_that_turns_to_another_store_spoils_the_reading(tmp_path: Path) -> None:
    for name in ("one.db", "two.db"):
        with owner(tmp_path / name):
            pass
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "one.db")
    reader = Reader(sqlite_url(link))
    before = reader.identity()
    with pytest.raises(StoreChanged), reader.reading() as connection:
        connection.execute(text("SELECT count(*) FROM t"))
        link.unlink()
        link.symlink_to(tmp_path / "two.db")
    assert reader.identity() != before


HELD = """
import sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute("INSERT INTO t VALUES (1)")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def at_work_elsewhere(path: Path) -> Iterator[None]:
    """An owner in a process of its own, for a process does not see its own locks."""
    command = [sys.executable, "-c", HELD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.communicate()


def test_a_file_whose_wal_lies_elsewhere_is_refused_and_not_read_without_it(tmp_path: Path) -> None:
    """As with a hard link, and with a container that mounts the file and not its folder."""
    path, other = tmp_path / "real" / "store.db", tmp_path / "other.db"
    path.parent.mkdir()
    with owner(path):
        pass
    other.hardlink_to(path)
    assert count(other) == 1
    with at_work_elsewhere(path):
        with pytest.raises(StoreError, match="mount the folder and not the file"):
            count(other)
        assert count(path) == 2
    assert count(other) == 2
    assert list(tmp_path.glob("other.db-*")) == []


def test_two_readers_of_a_closed_file_do_not_take_each_other_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with owner(path):
        pass
    with Reader(sqlite_url(path)).reading() as connection:
        connection.execute(text("SELECT count(*) FROM t"))
        held = (
            "from pathlib import Path; from ledger.reader.locks import Holding; "
            f"Holding(Path({str(path)!r}), 1)"
        )
        script = held + ".is_open_elsewhere() and exit('open')"
        subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[3])


def test_text_that_is_no_text_is_read_as_well_as_can_be(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with owner(path) as connection:
        connection.execute("INSERT INTO t VALUES (CAST(X'616EFF' AS TEXT))")
    reader = Reader(sqlite_url(path))
    query = text("SELECT x FROM t ORDER BY rowid")
    with pytest.raises(StoreChanged) as caught, reader.reading() as reading:
        reading.execute(query).fetchall()
    assert "an" not in str(caught.value).replace(str(path), "").split()
    with reader.reading() as reading:
        assert reading.execute(query).scalars().all() == [1, "an\ufffd"]


CRASHING = """
import os, sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None)
store.execute("PRAGMA cache_size=1")
store.execute("BEGIN")
store.execute("UPDATE t SET x = zeroblob(100000)")
store.execute("INSERT INTO t SELECT zeroblob(5000) FROM t")
os._exit(9)
"""


def test_a_journal_that_an_owner_left_in_its_middle_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with owner(path, "DELETE") as connection:
        connection.executemany("INSERT INTO t VALUES (?)", [(b"x" * 3_000,)] * 50)
    subprocess.run([sys.executable, "-c", CRASHING, path], check=False)
    before = files(tmp_path)
    assert set(before) == {"store.db", "store.db-journal"}
    with pytest.raises(StoreError, match="its owner was ended in the middle of a transaction; start it once"):
        count(path)
    assert files(tmp_path) == before


def test_a_server_s_store_that_was_made_anew_or_emptied_is_another_one(postgres_url: URL) -> None:
    reader = Reader(postgres_url)
    seen = [reader.identity()]
    for change in (
        "CREATE TABLE request_logs (id int)",
        "TRUNCATE request_logs",
        "DROP TABLE request_logs; CREATE TABLE request_logs (id int)",
    ):
        with psycopg.connect(
            host=str(postgres_url.query["host"]), user="ledger", dbname="postgres"
        ) as server:
            server.execute(change)
        seen.append(reader.identity())
    assert len(set(seen)) == 4
    with psycopg.connect(host=str(postgres_url.query["host"]), user="ledger", dbname="postgres") as server:
        server.execute("INSERT INTO request_logs VALUES (1)")
    assert reader.identity() == seen[-1]
    reader.close()


class TestInterrupt:
    SLOW = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

    def interrupted(self, reader: Reader, statement: str) -> StoreError:
        timer = threading.Timer(0.2, reader.interrupt)
        begin = time.monotonic()
        timer.start()
        with pytest.raises(StoreError) as caught, reader.reading() as connection:
            connection.execute(text(statement)).fetchall()
        assert time.monotonic() - begin < 15
        with pytest.raises(StoreError, match="the reading was ended"), reader.reading():
            pass
        reader.resume()
        with reader.reading() as connection:
            assert connection.execute(text("SELECT 1")).scalar_one() == 1
        return caught.value

    def test_a_statement_on_a_file_is_ended_at_once(self, tmp_path: Path) -> None:
        with owner(tmp_path / "store.db"):
            pass
        assert passes_by_itself(self.interrupted(Reader(sqlite_url(tmp_path / "store.db")), self.SLOW))

    def test_a_server_is_waited_for_no_longer(self, postgres_url: URL) -> None:
        reader = Reader(postgres_url)
        assert passes_by_itself(self.interrupted(reader, "SELECT pg_sleep(6)"))
        reader.close()

    def test_between_two_statements_too(self, tmp_path: Path) -> None:
        with owner(tmp_path / "store.db"):
            pass
        reader = Reader(sqlite_url(tmp_path / "store.db"))
        with pytest.raises(StoreError, match="the reading was ended"), reader.reading() as connection:
            connection.execute(text("SELECT 1"))
            reader.interrupt()
            connection.execute(text("SELECT 1"))


def test_what_is_locked_passes_by_itself_and_what_is_damaged_does_not(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with owner(path, "DELETE") as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError) as locked:
            count(path)
    path.write_bytes(path.read_bytes()[:4_096] + b"\xee" * 4_096)
    with pytest.raises(StoreError) as damaged:
        count(path)
    assert passes_by_itself(locked.value)
    assert not passes_by_itself(damaged.value)
