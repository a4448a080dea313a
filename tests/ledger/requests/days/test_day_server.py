"""Days as arrays of a ledger on a server, kept on this machine: answers are its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace
from sqlalchemy import URL, event, text

from ledger.reader.day_file import file_of
from ledger.requests import queries
from ledger.requests.answers import Breakdown
from ledger.requests.filter import RequestFilter
from ledger.requests.limits import Limit, asking
from ledger.requests.totals.remembered import keep_days
from ledger.requests.writes import record
from ledger.store import migrate, reader, writer
from ledger.values import RequestEvent
from tests.ledger.requests.test_request_queries import DAY, SEEDED, expected

EventFactory = Callable[..., RequestEvent]
DAYS = RequestFilter(DAY, DAY + timedelta(days=4))


@dataclass
class Server:
    """A ledger on a server, and a machine that reads it."""

    url: URL
    beside: Path
    read: list[str] = field(default_factory=list)

    @property
    def days(self) -> list[Path]:
        folder = Path(f"{self.beside}.sums")
        return sorted(folder.iterdir()) if folder.exists() else []

    def store(self, events: list[RequestEvent]) -> None:
        """Whatever they are, with the same stamps."""
        engine = writer(self.url)
        try:
            migrate(engine)
            with engine.begin() as connection:
                record(connection, events)
                connection.execute(
                    text("UPDATE request_changes SET changed = 7")
                )  # as if nothing had changed
        finally:
            engine.dispose()

    def answer(
        self, where: RequestFilter = DAYS, *, writes: bool = True, url: URL | None = None
    ) -> Breakdown:
        """Of a process that has just started."""
        engine = reader(url or self.url)
        keep_days(engine, lambda: file_of(self.url, writes, beside=self.beside, engine=engine))
        self.read.clear()
        event.listen(engine, "before_cursor_execute", self._said)
        try:
            with asking(engine, Limit(120)) as connection:
                return queries.by(connection, where, "account_id", SEEDED, durations=True)
        finally:
            engine.dispose()

    def _said(self, _c: Any, _d: Any, statement: str, *_: Any) -> None:
        if any(name in statement for name in ("hourly.caller_id", "durations.kind_id", "rows.caller_id")):
            self.read.append(statement)


@pytest.fixture
def server(postgres_url: URL, tmp_path: Path) -> Server:
    return Server(postgres_url, tmp_path / "usage.db")


@pytest.fixture
def week(make_event: EventFactory) -> list[RequestEvent]:
    """Four days that are over, of two accounts, and one long after them."""
    return [
        make_event(
            requested_at=DAY + timedelta(days=day, minutes=7 * n), account_id=name, latency_ms=100.0 * n
        )
        for day in (0, 1, 2, 3, 9)
        for n, name in enumerate(("anna", "ben", "anna"), 1)
    ]


def is_right(found: Breakdown, events: list[RequestEvent]) -> None:
    within = [one for one in events if one.requested_at < DAY + timedelta(days=4)]
    assert {group.value for group in found.groups} == {one.account_id for one in within}
    for group in found.groups:
        assert group.totals == expected([one for one in within if one.account_id == group.value], SEEDED)


def test_a_new_process_reads_days_that_are_over_from_this_machine(
    server: Server, week: list[RequestEvent], make_event: EventFactory
) -> None:
    server.store(week)
    is_right(server.answer(), week)
    assert server.read and server.days
    is_right(server.answer(writes=False), week)
    assert server.read == [], "these were there"
    slow = RequestFilter(DAYS.since, DAYS.until, min_latency_ms=150.0)
    for _ in range(2):
        is_right(server.answer(slow), [one for one in week if one.latency_ms >= 150.0])
    late = make_event(requested_at=DAY + timedelta(days=1, hours=5), account_id="carl")
    engine = writer(server.url)
    with engine.begin() as connection:
        record(connection, [late])
    engine.dispose()
    is_right(server.answer(), [*week, late])


def test_the_days_of_another_database_are_not_believed(
    server: Server, week: list[RequestEvent], postgres: Path
) -> None:
    server.store(week)
    is_right(server.answer(), week)
    with psycopg.connect(host=str(postgres), user="ledger", dbname="postgres") as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    others = [one for number, one in enumerate(week) if number % 3 != 1]
    server.store(others)  # with the same stamps
    is_right(server.answer(), others)


def test_a_user_that_may_only_read_is_told_which_ledger_it_is(
    server: Server, week: list[RequestEvent], postgres: Path
) -> None:
    server.store(week)
    with psycopg.connect(host=str(postgres), user="ledger", dbname="postgres") as connection:
        connection.execute("DROP ROLE IF EXISTS looker")
        connection.execute("CREATE ROLE looker LOGIN")
        connection.execute("GRANT pg_read_all_data TO looker")
    is_right(server.answer(url=server.url.set(username="looker")), week)
    assert server.days


def test_a_ledger_on_a_server_without_a_place_here_keeps_nothing(postgres_url: URL) -> None:
    assert file_of(postgres_url, True) is None


def test_a_text_whose_number_is_smaller_than_a_known_one_is_looked_at_too(
    server: Server, week: list[RequestEvent], make_event: EventFactory
) -> None:
    """Its transaction took the number first, and ended last."""
    server.store(week)
    slow, fast = writer(server.url), writer(server.url)
    talks = [
        make_event(requested_at=DAY + timedelta(hours=h), session_id=name, account_id="anna")
        for h, name in ((7, "needle, early"), (8, "needle, late"))
    ]
    engine = reader(server.url)
    keep_days(engine, lambda: file_of(server.url, True, beside=server.beside, engine=engine))

    def found() -> int:
        with asking(engine, Limit(120)) as connection:
            where = RequestFilter(DAYS.since, DAYS.until, text="NEEDLE")
            return queries.totals(connection, where, SEEDED).requests

    with slow.begin() as connection:
        record(connection, talks[:1])  # its stamps are not seen before it ends either
        other = replace(talks[1], id="other", requested_at=DAY + timedelta(days=1))
        with fast.begin() as quick:
            record(quick, [other])
        assert found() == 1
    assert found() == 2
    server.store(talks[1:])
    assert found() == 3
    for one in (engine, slow, fast):
        one.dispose()
