"""An empty ledger of either kind for the ledger's tests, and events to put into it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from ledger.__main__ import main
from ledger.store import migrate, parse_url, sqlite_url, writer
from ledger.values import RequestEvent, Usage
from tests.support.ledgers import place_migrated

EventFactory = Callable[..., RequestEvent]
NOON = datetime(2026, 8, 21, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """An empty database, once of each kind that the ledger supports."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "usage.db")
    empty: URL = request.getfixturevalue("postgres_url")
    return empty


@pytest.fixture(scope="session")
def schema(postgres: Path, binary: Callable[[str], str]) -> str:
    """What makes an empty PostgreSQL database a ledger of this version: migrating takes twice as long."""
    with psycopg.connect(host=str(postgres), user="ledger", dbname="postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated")
    engine = writer(parse_url(f"postgresql://ledger@/migrated?host={postgres}"))
    migrate(engine)
    engine.dispose()
    program = str(Path(binary("initdb")).resolve().with_name("pg_dump"))
    command = [program, "--host", str(postgres), "--username", "ledger"]
    command += ["--inserts", "--no-owner", "--schema", "public", "migrated"]
    dumped = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return "\n".join(line for line in dumped if not line.startswith(("\\", "--", "CREATE SCHEMA")))


@pytest.fixture
def ledger(url: URL, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A migrated ledger, open for writing."""
    if url.get_backend_name() == "sqlite":
        place_migrated(Path(url.database or ""))
    else:
        script, postgres = request.getfixturevalue("schema"), request.getfixturevalue("postgres")
        with psycopg.connect(host=str(postgres), user="ledger", dbname=url.database) as connection:
            connection.execute(script)
    engine = writer(url)
    migrate(engine)
    yield engine
    engine.dispose()


class Done(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Ask = Callable[..., Done]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Ask:
    """Runs a command of `python -m ledger` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def ask(*words: str) -> Done:
        try:
            code = main(words, {})
        except SystemExit as end:
            code = int(end.code or 0)
        return Done(code, *capfd.readouterr())

    return ask


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
    return st.builds(Usage, counts, counts, cached, counts, cached, cached)


@pytest.fixture(scope="session")
def events(make_event: EventFactory, usages: st.SearchStrategy[Usage]) -> st.SearchStrategy[RequestEvent]:
    """Requests of four days, with midnights and a price change (2026-08-21) among them."""
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
        requested_service_tier=st.sampled_from([None, "", "priority", "fast"]),
        login=st.sampled_from([None, False, True]),
        status=st.sampled_from(["success", "success", "error", "cancelled"]),
        billable=st.booleans(),
    )
