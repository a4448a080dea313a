"""Opening the store: engines for the one writer and for readers, and the migrations between versions."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, Table, create_engine, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from ledger.errors import StoreError, StoreRefused, StoreUnavailable
from ledger.identity import OpenFile, opened
from ledger.passing import passes, refusal

log = logging.getLogger("quotascope.ledger")

if TYPE_CHECKING:
    from alembic.config import Config as AlembicConfig

MIGRATIONS = Path(__file__).with_name("migrations")

DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
"""Schemes that a database URL may have, and the drivers behind them."""

_MIGRATION_LOCK = 7_182_818
"""PostgreSQL's advisory locks are known by number; any one will do that nobody else takes."""

UPGRADE_SECONDS = 900
"""How long a process waits for another one that upgrades the SQLite file."""

CONNECT_SECONDS = 3
"""How long a reader waits for a PostgreSQL server; a scrape has ten seconds in all."""

STATEMENT_SECONDS = 7
"""How long one statement of a reader may take there; they are made to take some milliseconds."""

_ALIVE = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": STATEMENT_SECONDS * 1_000,
}
"""A server that is gone without a word is noticed after seconds, and not after the kernel's two hours."""


def sqlite_url(path: Path) -> URL:
    """The URL of a SQLite file."""
    return URL.create("sqlite", database=str(path))


def ledger_url(database_url: str | None, database_path: Path) -> URL:
    """Where a ledger is that is configured both ways: the URL goes before the path. Raises: StoreError."""
    return parse_url(database_url) if database_url else sqlite_url(database_path)


def parse_url(text: str, key: str = "database_url") -> URL:
    """A database URL; `postgresql://` gets the driver that this project installs.

    Args:
        key: where it was given; errors name it.
    Raises: StoreError for anything but a SQLite file and PostgreSQL; the text may hold a password, so
        it is not shown.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise StoreError(f"{key} is not a database URL; see docs/configuration.md") from error
    if url.drivername not in DRIVERS:
        raise StoreError(f"{key} scheme {url.drivername!r} is not supported; use sqlite or postgresql")
    if DRIVERS[url.drivername] == "sqlite" and url.database in (None, "", ":memory:"):
        raise StoreError(f"{key} names no file; give it like sqlite:////var/lib/usage.db")
    return url.set(drivername=DRIVERS[url.drivername])


def name_of(url: URL) -> str:
    """A ledger's place as messages name it: a file's path, or a URL without any password. PostgreSQL takes
    one among the parameters, too."""
    if url.get_backend_name() == "sqlite":
        return url.database or ""
    hidden = {name: "hidden" for name in url.query if "password" in name.lower()}
    return url.update_query_dict(hidden).render_as_string()


def create_private(path: str | Path) -> None:
    """Make an empty file that its owner alone can read, unless there is one; what SQLite puts beside it
    (`-wal`, `-shm`, `-journal`) gets the same mode. Where none can be made, SQLite says why."""
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def writer(url: URL, *, busy_timeout_seconds: float = 5.0) -> Engine:
    """An engine that may write. SQLite runs in WAL mode, so readers never wait for the writer."""
    if url.get_backend_name() != "sqlite":
        return _pooled(url)
    engine = create_engine(url, connect_args={"timeout": busy_timeout_seconds})

    @event.listens_for(engine, "do_connect")
    def _privately(*_: Any) -> None:
        create_private(url.database or "")

    @event.listens_for(engine, "connect")
    def _pragmas(connection: sqlite3.Connection, _record: Any) -> None:
        prepare_to_write(connection, busy_timeout_seconds)

    return engine


def _pooled(url: URL, **arguments: Any) -> Engine:
    """An engine on a server. A connection that a thread still uses when the engine is disposed is closed when
    the thread is done with it; SQLAlchemy puts it into the pool that is gone, open."""
    waits = {"connect_timeout": CONNECT_SECONDS, **_ALIVE, **arguments}
    engine = create_engine(url, pool_pre_ping=True, connect_args=waits)

    @event.listens_for(engine, "connect")
    def _of_pool(_connection: Any, record: Any) -> None:
        record.info["pool"] = engine.pool

    @event.listens_for(engine, "checkin")
    def _let_go(_connection: Any, record: Any) -> None:
        if record.info.get("pool") is not engine.pool:
            record.close()

    return engine


def prepare_to_write(connection: sqlite3.Connection, busy_timeout_seconds: float) -> None:
    """Put a SQLite file into WAL mode; a new one can give back its pages later. A crash of the machine may
    cost its last commits."""
    if connection.execute("PRAGMA page_count").fetchone() == (0,):  # on others it would wait for writers
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    _use_wal(connection, monotonic() + busy_timeout_seconds)
    connection.execute("PRAGMA synchronous=NORMAL")


def _use_wal(connection: sqlite3.Connection, deadline: float) -> None:
    """Switch the file to WAL mode. SQLite does not wait for a lock here: on a new file several processes
    that start at once would refuse each other."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or monotonic() >= deadline:
                raise
            sleep(0.02)


def reader(url: URL, *, busy_timeout_seconds: float = 1.0) -> Engine:
    """An engine that cannot write, and that does not create a file that is missing.

    Every connection to SQLite is a new one, so a file that appears or is replaced is read from then on.

    Args:
        busy_timeout_seconds: how long a read waits for a lock of somebody else.
    """
    if url.get_backend_name() != "sqlite":
        return _pooled(url, options=_options(busy_timeout_seconds))
    path = Path(url.database or "").absolute()
    location = f"file:{quote(str(path))}?mode=ro"

    def connect() -> OpenFile:
        return sqlite3.connect(
            location, uri=True, timeout=busy_timeout_seconds, check_same_thread=False, factory=OpenFile
        )

    def connect_to_read() -> OpenFile:
        connection = opened(path, connect)
        connection.execute("PRAGMA query_only=ON")
        return connection

    return create_engine("sqlite://", creator=connect_to_read, poolclass=NullPool)


def _options(lock_seconds: float) -> str:
    """What a reader asks of a PostgreSQL server for its connection."""
    wanted = {
        "default_transaction_read_only": "on",
        "lock_timeout": round(lock_seconds * 1_000),
        "statement_timeout": STATEMENT_SECONDS * 1_000,
    }
    return " ".join(f"-c {name}={value}" for name, value in wanted.items())


_UNDEFINED = ("UndefinedTable", "UndefinedColumn")


@contextmanager
def translated(url: URL, doing: str) -> Iterator[None]:
    """The edge at which database errors become StoreErrors of one line; those that may be gone later are
    StoreUnavailable, those of a value that is never stored StoreRefused."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:  # the latter where the driver is used by itself
        cause = getattr(error, "orig", None) or error
        reason = str(cause).partition("\n")[0] or type(cause).__name__
        if reason.startswith(("no such table", "no such column")) or type(cause).__name__ in _UNDEFINED:
            reason += "; an older version made it: start the proxy of this one, which brings it up to date"
        text = f"{doing} {name_of(url)}: {reason}"
        if (code := refusal(cause)) is not None:
            raise StoreRefused(text, code) from error
        raise (StoreUnavailable if passes(cause) else StoreError)(text) from error


def insert_into(connection: Connection, table: Table) -> Any:
    """An INSERT of the database's own dialect: only that knows of rows which are there already."""
    from sqlalchemy.dialects import postgresql, sqlite  # takes 30 ms: those who only read do without

    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def upsert(
    connection: Connection, table: Table, keys: Sequence[str], rows: Sequence[Mapping[str, Any]]
) -> None:
    """Store rows, over those that are there with the same keys.

    Args:
        rows: all with the same columns.
    """
    if not rows:
        return
    statement = insert_into(connection, table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    statement = statement.on_conflict_do_update(index_elements=list(keys), set_=changed)
    connection.execute(statement, list(rows))


def migrate(engine: Engine) -> None:
    """Bring the schema to this version. Of several processes that start at once, one does it.

    Raises: StoreError, also for a store that a newer version has written.
    """
    from ledger.requests.conversion import convert  # what it needs takes longer to import than to read
    from ledger.state import revision, revisions

    with translated(engine.url, "cannot open the ledger"), engine.begin() as connection:
        if revision(connection) != max(revisions()):
            _upgrade(connection)
    with translated(engine.url, "cannot convert the ledger"):
        convert(engine, _let_others_wait)


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.util.exc import CommandError

    from ledger.state import revision

    upgrading = connection.dialect.name == "sqlite" and revision(connection) is not None
    with _patient(connection) if upgrading else nullcontext():
        _let_others_wait(connection)
    _keep_a_copy(connection)
    try:
        command.upgrade(_alembic(connection), "head")
    except CommandError as error:
        where = connection.engine.url.database
        raise StoreError(
            f"the ledger {where} was written by another version of Quotascope: {error}"
        ) from error


@contextmanager
def _patient(connection: Connection) -> Iterator[None]:
    """Wait for an upgrade that another process is doing: its copy of a large ledger takes minutes."""
    before = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    connection.exec_driver_sql(f"PRAGMA busy_timeout={UPGRADE_SECONDS * 1_000}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={before}")


def _keep_a_copy(connection: Connection) -> None:
    """A copy of a ledger that is about to become another, or why there is none.

    Raises: StoreError for a ledger of a newer version.
    """
    from ledger.state import newer, revision, revisions
    from ledger.upkeep import copies

    url, schema = connection.engine.url, revision(connection)
    if schema is None or schema == max(revisions()):  # new, or another process has just done it
        return
    if schema not in revisions():
        raise newer(f"the ledger {url.database}", schema)
    if url.get_backend_name() != "sqlite":
        log.warning("no backup is made before the upgrade: the ledger is on a server; pg_dump makes one")
        return
    file = Path(url.database or "")
    copy = file.with_name(f"{file.name}.before-{max(revisions())}")
    try:
        if not copy.exists():  # else: the upgrade was interrupted
            copies.make(file, copy)
        log.warning("the ledger is upgraded from schema %s; %s is as it was before", schema, copy)
    except StoreError as error:
        log.warning("no backup is made before the upgrade from schema %s: %s", schema, error)


def _let_others_wait(connection: Connection) -> None:
    """Take the lock that every migration takes, until the transaction ends."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))


def _alembic(connection: Connection) -> AlembicConfig:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config
