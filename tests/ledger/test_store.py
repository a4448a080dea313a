from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from ledger.errors import StoreError
from ledger.requests.queries import newest_request
from ledger.requests.writes import record
from ledger.store import migrate, parse_url, reader, sqlite_url, translated, writer
from ledger.values import RequestEvent

EventFactory = Callable[..., RequestEvent]


def stored(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM request_logs")).scalar_one())


def failure(url: URL, engine: Engine) -> str:
    """The one line of the error that a read gives."""
    with pytest.raises(StoreError) as caught, translated(url, "cannot read"), engine.connect() as connection:
        newest_request(connection)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@contextmanager
def locked(url: URL, engine: Engine) -> Iterator[None]:
    """Nobody else can read the requests in here."""
    if url.get_backend_name() == "postgresql":
        with engine.begin() as connection:
            connection.execute(text("LOCK TABLE request_rows IN ACCESS EXCLUSIVE MODE"))
            yield
    else:
        engine.dispose()
        with closing(sqlite3.connect(str(url.database), isolation_level=None)) as connection:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("BEGIN IMMEDIATE")
            yield


class TestUrl:
    @pytest.mark.parametrize("given", ["me:sekret@host/usage", "host/usage?user=me&password=sekret"])
    def test_no_message_shows_a_password_wherever_it_stands(self, given: str) -> None:
        url = parse_url(f"postgresql://{given}")
        with pytest.raises(StoreError) as caught, translated(url, "cannot read"):
            raise OperationalError("SELECT 1", None, Exception("gone"))
        assert "sekret" not in str(caught.value)
        assert "host/usage" in str(caught.value)
        assert "sekret" in url.render_as_string(hide_password=False)

    @pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
    def test_postgresql_gets_the_driver_that_is_installed(self, scheme: str) -> None:
        url = parse_url(f"{scheme}://me@host:5433/usage")
        assert (url.drivername, url.host, url.port, url.database) == (
            "postgresql+psycopg",
            "host",
            5433,
            "usage",
        )

    def test_sqlite_names_a_file(self) -> None:
        assert parse_url("sqlite:////var/lib/usage.db").database == "/var/lib/usage.db"
        assert parse_url("sqlite:///usage.db") == sqlite_url(Path("usage.db"))

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ("mysql://host/usage", "scheme 'mysql' is not supported; use sqlite or postgresql"),
            ("postgresql+asyncpg://host/usage", "scheme 'postgresql+asyncpg' is not supported"),
            ("sqlite+aiosqlite:///usage.db", "scheme 'sqlite+aiosqlite' is not supported"),
            ("usage.db", "is not a database URL"),
            ("", "is not a database URL"),
            ("postgresql://me:secret@host:port/usage", "is not a database URL"),
            ("postgresql//me:secret@host/usage", "is not a database URL"),
            ("sqlite://", "names no file"),
            ("sqlite:///:memory:", "names no file"),
        ],
    )
    def test_anything_else_is_refused_without_showing_a_password(self, given: str, says: str) -> None:
        with pytest.raises(StoreError) as caught:
            parse_url(given)
        assert says in str(caught.value)
        assert "secret" not in str(caught.value)


class TestWriter:
    def test_sqlite_runs_in_wal_mode_and_forgives_a_power_cut_its_last_commits(self, tmp_path: Path) -> None:
        engine = writer(sqlite_url(tmp_path / "usage.db"))
        with engine.connect() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 1
        engine.dispose()

    def test_it_waits_for_another_writer(self, tmp_path: Path, make_event: EventFactory) -> None:
        engine = writer(sqlite_url(tmp_path / "usage.db"), busy_timeout_seconds=10)
        migrate(engine)
        other = sqlite3.connect(tmp_path / "usage.db", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        threading.Timer(0.3, other.execute, ["COMMIT"]).start()
        start = time.monotonic()
        with engine.begin() as connection:
            record(connection, [make_event()])
        assert time.monotonic() - start >= 0.25
        assert stored(engine) == 1
        other.close()
        engine.dispose()

    def test_it_connects_while_another_writes(self, tmp_path: Path) -> None:
        url = sqlite_url(tmp_path / "usage.db")
        first, second = writer(url), writer(url, busy_timeout_seconds=0.0)
        migrate(first)
        with first.connect() as owner:
            owner.exec_driver_sql("BEGIN IMMEDIATE")
            with second.connect() as connection:
                assert connection.exec_driver_sql("PRAGMA auto_vacuum").scalar_one() == 2
        first.dispose()
        second.dispose()

    def test_it_does_not_wait_for_ever(self, tmp_path: Path, make_event: EventFactory) -> None:
        engine = writer(sqlite_url(tmp_path / "usage.db"), busy_timeout_seconds=0.2)
        migrate(engine)
        with closing(sqlite3.connect(tmp_path / "usage.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            start = time.monotonic()
            with (
                pytest.raises(StoreError, match=r"cannot write .*usage\.db: database is locked"),
                translated(engine.url, "cannot write"),
                engine.begin() as connection,
            ):
                record(connection, [make_event()])
            assert time.monotonic() - start < 4
        assert stored(engine) == 0
        engine.dispose()


class TestBadPlaces:
    def refusal(self, path: Path) -> str:
        engine = writer(sqlite_url(path))
        with pytest.raises(StoreError) as caught:
            migrate(engine)
        engine.dispose()
        message = str(caught.value)
        assert message.startswith(f"cannot open the ledger {path}: ")
        assert "\n" not in message
        return message

    def test_a_directory(self, tmp_path: Path) -> None:
        assert "unable to open database file" in self.refusal(tmp_path)

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        assert "unable to open database file" in self.refusal(tmp_path / "no" / "usage.db")
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_nobody_may_write(self) -> None:
        assert "unable to open database file" in self.refusal(Path("/proc/usage.db"))  # root neither

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_text("What I did on my holidays. " * 100)
        before = path.read_bytes()
        assert "file is not a database" in self.refusal(path)
        assert path.read_bytes() == before

    def test_a_server_that_is_not_there(self, tmp_path: Path) -> None:
        url = parse_url(f"postgresql://me:secret@/usage?host={tmp_path}")
        engine = writer(url)
        with pytest.raises(StoreError) as caught:
            migrate(engine)
        assert "cannot open the ledger postgresql+psycopg://me:***@/usage" in str(caught.value)
        assert "\n" not in str(caught.value)


class TestReader:
    def test_it_reads_what_was_written(self, url: URL, ledger: Engine, make_event: EventFactory) -> None:
        event = make_event()
        with ledger.begin() as connection:
            record(connection, [event])
        engine = reader(url)
        with engine.connect() as connection:
            assert newest_request(connection) == event.requested_at
        engine.dispose()

    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM request_rows",
            "CREATE TABLE mine (id INTEGER)",
            "UPDATE request_rows SET error_message = 'x'",
        ],
    )
    def test_it_cannot_write(
        self, url: URL, ledger: Engine, make_event: EventFactory, statement: str
    ) -> None:
        with ledger.begin() as connection:
            record(connection, [make_event()])
        engine = reader(url)
        with pytest.raises(DBAPIError, match=r"read-?only"), engine.begin() as connection:
            connection.execute(text(statement))
        assert stored(engine) == 1
        engine.dispose()

    def test_it_never_waits_for_a_writer(self, url: URL, ledger: Engine, make_event: EventFactory) -> None:
        engine = reader(url, busy_timeout_seconds=0.1)
        with ledger.begin() as connection:
            record(connection, [make_event()])
            assert stored(engine) == 0  # not committed yet
        assert stored(engine) == 1
        engine.dispose()

    def test_a_locked_ledger_is_given_up_in_time(self, url: URL, ledger: Engine) -> None:
        engine = reader(url, busy_timeout_seconds=0.3)
        with locked(url, ledger):
            start = time.monotonic()
            assert "lock" in failure(url, engine)
            assert 0.2 < time.monotonic() - start < 10
        assert stored(engine) == 0
        engine.dispose()

    def test_a_file_that_is_missing_is_not_created(self, tmp_path: Path) -> None:
        url = sqlite_url(tmp_path / "usage.db")
        message = failure(url, reader(url))
        assert message == f"cannot read {tmp_path / 'usage.db'}: unable to open database file"
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_appears_later_is_read(self, tmp_path: Path, make_event: EventFactory) -> None:
        url = sqlite_url(tmp_path / "usage.db")
        engine = reader(url)
        assert "unable to open" in failure(url, engine)
        written = writer(url)
        migrate(written)
        with written.begin() as connection:
            record(connection, [make_event()])
        assert stored(engine) == 1
        written.dispose()

    def test_a_file_that_was_replaced_is_read_anew(self, tmp_path: Path, make_event: EventFactory) -> None:
        url, other = sqlite_url(tmp_path / "usage.db"), sqlite_url(tmp_path / "other.db")
        for place, events in ((url, 1), (other, 2)):
            written = writer(place)
            migrate(written)
            with written.begin() as connection:
                record(connection, [make_event() for _ in range(events)])
            written.dispose()
        engine = reader(url)
        assert stored(engine) == 1
        for left in tmp_path.glob("usage.db-*"):
            left.unlink()
        (tmp_path / "other.db").replace(tmp_path / "usage.db")
        assert stored(engine) == 2

    def test_a_file_that_is_not_migrated_says_so(self, tmp_path: Path) -> None:
        url = sqlite_url(tmp_path / "usage.db")
        (tmp_path / "usage.db").touch()
        assert "no such table: request_rows" in failure(url, reader(url))

    def test_a_corrupt_file_says_so(self, tmp_path: Path) -> None:
        url = sqlite_url(tmp_path / "usage.db")
        (tmp_path / "usage.db").write_bytes(b"SQLite format 3\0" + b"\xee" * 4_096)
        assert "file is not a database" in failure(url, reader(url))

    @pytest.mark.parametrize("name", ["a b.db", "50%20.db", "who?.db", "no#1.db", "höhe&x=1.db"])
    @pytest.mark.slow
    def test_any_file_name_is_the_same_file_for_reader_and_writer(
        self, tmp_path: Path, name: str, make_event: EventFactory
    ) -> None:
        url = sqlite_url(tmp_path / name)
        written = writer(url)
        migrate(written)
        with written.begin() as connection:
            record(connection, [make_event()])
        written.dispose()
        assert (tmp_path / name).exists()
        assert stored(reader(url)) == 1

    def test_a_server_that_never_answers_is_given_up_in_time(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = parse_url(f"postgresql://me:secret@127.0.0.1:{silent.getsockname()[1]}/usage")
            start = time.monotonic()
            message = failure(url, reader(url))
            assert time.monotonic() - start < 25
        assert "secret" not in message


class TestTranslated:
    URL = sqlite_url(Path("usage.db"))

    def translate(self, error: Exception) -> None:
        with translated(self.URL, "cannot read"):
            raise error

    def test_the_first_line_of_the_cause_is_told(self) -> None:
        error = OperationalError("SELECT 1", None, sqlite3.OperationalError("disk I/O error\nand more"))
        with pytest.raises(StoreError, match=r"^cannot read usage\.db: disk I/O error$") as caught:
            self.translate(error)
        assert caught.value.__cause__ is error

    def test_an_error_without_text_is_told_by_its_name(self) -> None:
        with pytest.raises(StoreError, match=r"^cannot read usage\.db: InterfaceError$"):
            self.translate(OperationalError("SELECT 1", None, sqlite3.InterfaceError()))

    def test_an_error_that_no_driver_caused_is_told_too(self) -> None:
        with pytest.raises(StoreError, match=r"^cannot read usage\.db: no more connections$"):
            self.translate(SQLAlchemyError("no more connections"))

    def test_other_errors_pass(self) -> None:
        with pytest.raises(KeyError):
            self.translate(KeyError("mine"))


@pytest.mark.parametrize("make", [reader, writer])
def test_a_connection_that_is_in_use_when_its_engine_is_disposed_is_closed_afterwards(
    postgres_url: URL, make: Callable[[URL], Engine]
) -> None:
    engine = make(postgres_url)
    with engine.connect() as connection:
        used = connection.connection.dbapi_connection
        assert used is not None
        engine.dispose()
        assert connection.execute(text("SELECT 1")).scalar() == 1
    assert used.closed
    with engine.connect() as connection:  # it can be used again
        later = connection.connection.dbapi_connection
    assert later is not None and not later.closed
    engine.dispose()
    assert later.closed
