"""A real SQLite file and a real PostgreSQL for the ledger's tests, and events to put into them."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from ledger.store import migrate, parse_url, sqlite_url, writer
from ledger.values import RequestEvent, Usage

EventFactory = Callable[..., RequestEvent]
NOON = datetime(2026, 8, 21, 12, tzinfo=UTC)


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
    folder = Path(tempfile.mkdtemp(prefix="ledger-pg-"))  # short: a socket's path has at most 107 bytes
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


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """An empty database, once of each kind that the ledger supports."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "usage.db")
    empty: URL = request.getfixturevalue("postgres_url")
    return empty


@pytest.fixture
def ledger(url: URL) -> Iterator[Engine]:
    """A migrated ledger, open for writing."""
    engine = writer(url)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def make_event() -> EventFactory:
    """Makes a successful metered request, of which each attribute can be set."""
    numbers = count()

    def make(**changes: Any) -> RequestEvent:
        number = next(numbers)
        plain: dict[str, Any] = {
            "id": f"event-{number}",
            "account_id": "default",
            "api_key_id": "sk-a...wxyz",
            "request_id": f"req_{number}",
            "requested_at": NOON,
            "method": "POST",
            "route": "/v1/responses",
            "api": "responses",
            "model": "gpt-5.6-sol",
            "usage": Usage(1_000, 400, 200, 50),
            "status": "success",
            "http_status": 200,
            "end_reason": "done",
            "latency_ms": 1234.5,
        }
        return RequestEvent(**{**plain, **changes})

    return make


@pytest.fixture(scope="session")
def usages() -> st.SearchStrategy[Usage]:
    """What providers report: counts, no counts, more cached than input, long contexts."""
    counts = st.one_of(st.none(), st.integers(0, 3_000), st.integers(271_999, 272_001), st.just(10**9))
    cached = st.one_of(counts, st.just(-1))
    return st.builds(Usage, counts, counts, cached, counts)


@pytest.fixture(scope="session")
def events(make_event: EventFactory, usages: st.SearchStrategy[Usage]) -> st.SearchStrategy[RequestEvent]:
    """Requests of four days, with midnights and a price change (2026-08-22) among them."""
    midnights = st.sampled_from([datetime(2026, 8, day, tzinfo=UTC) for day in (20, 21, 22, 23)])
    offsets = st.one_of(
        st.sampled_from([timedelta(0), timedelta(microseconds=1), timedelta(microseconds=-1)]),
        st.timedeltas(timedelta(0), timedelta(days=1)),
    )
    models = ["gpt-5.6-sol", "gpt-5.5", "gpt-5.5-pro", "gpt-5.4-2026-03-05", "gpt-5.9-new", None]
    return st.builds(
        make_event,
        requested_at=st.builds(datetime.__add__, midnights, offsets),
        account_id=st.sampled_from(["one", "two"]),
        model=st.sampled_from(models),
        usage=usages,
        service_tier=st.sampled_from([None, "", "priority", "flex", "auto"]),
        status=st.sampled_from(["success", "success", "error", "cancelled"]),
        billable=st.booleans(),
    )
