"""Conversations: every one once, on whatever number of pages, with what it adds up to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Engine

from ledger.pricing.files import current_book
from ledger.requests import sessions as module
from ledger.requests.auth_files import auth_files
from ledger.requests.filter import RequestFilter
from ledger.requests.queries import totals
from ledger.requests.sessions import Session, sessions
from ledger.requests.writes import ensure_account, record
from ledger.values import RequestEvent, Usage

EventFactory = Callable[..., RequestEvent]
DAY = datetime(2026, 11, 28, tzinfo=UTC)
BOOK = current_book({})


def stored(ledger: Engine, make_event: EventFactory, number: int) -> None:
    """So many conversations of three requests each, woven into each other, and requests of none."""
    events = []
    for turn in range(3):
        for one in range(number):
            at = DAY + timedelta(seconds=turn * number + one)
            named = {
                "session_id": f"s{one:03}",
                "requested_at": at,
                "model": "gpt-5.4",
                "account_id": f"a{turn}",
            }
            events.append(make_event(**named, usage=Usage(100, 10)))
            events.append(make_event(requested_at=at, session_id=None))
    with ledger.begin() as connection:
        record(connection, [replace(event, id=f"e{n}") for n, event in enumerate(events)])


def pages(ledger: Engine, where: RequestFilter, size: int) -> list[Session]:
    found: list[Session] = []
    older: Any = None
    with ledger.connect() as connection:
        while True:
            page = sessions(connection, where, BOOK, size=size, older_than=older)
            found += page.sessions
            older = page.older
            if older is None:
                return found


@pytest.mark.parametrize("step", [7, 2_000])
@pytest.mark.parametrize("size", [1, 10, 60])
@pytest.mark.slow
def test_each_is_there_once_the_newest_first(
    ledger: Engine, make_event: EventFactory, monkeypatch: pytest.MonkeyPatch, size: int, step: int
) -> None:
    monkeypatch.setattr(module, "STEP", step)
    stored(ledger, make_event, 40)
    found = pages(ledger, RequestFilter(), size)
    assert [one.id for one in found] == [f"s{n:03}" for n in range(39, -1, -1)]
    one = found[-1]
    assert (one.began, one.ended) == (DAY, DAY + timedelta(seconds=80))
    assert (one.models, one.accounts, one.totals.requests) == (("gpt-5.4",), ("a0", "a1", "a2"), 3)
    with ledger.connect() as connection:
        alone = totals(connection, RequestFilter(session_id=("s000",)), BOOK)
    assert one.totals.usd == alone.usd > 0


def test_only_what_meets_the_conditions_counts(ledger: Engine, make_event: EventFactory) -> None:
    stored(ledger, make_event, 5)
    found = pages(ledger, RequestFilter(account_id=("a1",)), 2)
    assert [(one.id, one.totals.requests, one.accounts) for one in found] == [
        (f"s00{n}", 1, ("a1",)) for n in range(4, -1, -1)
    ]


def test_of_the_same_moment_none_is_lost(ledger: Engine, make_event: EventFactory) -> None:
    with ledger.begin() as connection:
        events = [make_event(requested_at=DAY, session_id=f"s{n}") for n in range(9)]
        record(connection, [replace(event, id=f"e{n}") for n, event in enumerate(events)])
    assert sorted(one.id for one in pages(ledger, RequestFilter(), 2)) == [f"s{n}" for n in range(9)]


def test_an_account_s_file_is_a_condition(ledger: Engine, make_event: EventFactory) -> None:
    described = {
        "own": {"credential": "codex:/home/anna/.codex/auth.json"},
        "key": {"credential": "file:/run/key_1"},
        "env": {"credential": "env:KEY"},
        "cpa/3": {"alias": "codex-ben.json", "origin": "collector"},
    }
    with ledger.begin() as connection:
        for name, columns in described.items():
            ensure_account(connection, id=name, created_at=DAY, **columns)
        events = [make_event(requested_at=DAY, account_id=name) for name in described]
        record(connection, [replace(event, id=f"e{n}") for n, event in enumerate(events)])

    def meant(*files: str | None) -> list[int]:
        with ledger.connect() as connection:
            where = RequestFilter(DAY - timedelta(hours=1), DAY + timedelta(hours=1), auth_file=files)
            whole = RequestFilter(DAY, DAY + timedelta(hours=1), auth_file=files)  # from the sums by hour
            return [totals(connection, one, BOOK).requests for one in (where, whole)]

    assert meant("auth.json") == meant("/home/anna/.codex/auth.json") == meant("codex-ben.json") == [1, 1]
    assert meant("key_1") == [1, 1] and meant("keyx1") == meant("th.json") == [0, 0]
    assert meant("auth.json", "codex-ben.json") == [2, 2]
    assert meant(None) == [1, 1]
    with ledger.connect() as connection:
        assert auth_files(connection) == [("auth.json", 1), ("codex-ben.json", 1), ("key_1", 1)]
