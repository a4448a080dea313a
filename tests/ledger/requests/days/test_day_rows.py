"""Filters that only rows can tell, answered from rows as arrays: against a recount in Python."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from sqlalchemy import Engine, event, select

from ledger.reader.day_file import file_of
from ledger.requests import queries, rows
from ledger.requests.filter import SEARCHED, RequestFilter
from ledger.requests.limits import Limit, asking
from ledger.requests.totals.remembered import keep_days
from ledger.requests.totals.row_ids import read_ahead
from ledger.requests.writes import record
from ledger.schema import request_rows
from ledger.store import reader
from ledger.values import RequestEvent, Usage
from tests.ledger.requests.test_request_queries import DAY, SEEDED, expected, refill
from tests.support.corrections import hide, replace_event

EventFactory = Callable[..., RequestEvent]
Ask = Callable[..., Any]
SEVERAL = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
HEX = "0123456789abcdef" * 2
LATER = DAY + timedelta(days=9)
DURATIONS: list[float | None] = [None, 0.5, 1.0, 999.9999, 1_000.0, 1_000.0001, 20_000.0]
TEXTS: dict[str, list[str | None]] = {
    "request_id": ["r-1", HEX, HEX.upper(), "f" * 32],
    "upstream_request_id": [None, "req_Ab%1", "up"],
    "response_id": [None, "resp_ab/c"],
    "trace_id": [None, "ab" * 16, "no digits"],
    "session_id": [None, "abc", "S-1"],
    "error_message": [None, "It broke: 100%", "Zürich is down\nagain"],
    "user_agent": [None, "Codex/1", ""],
    "project": [None, "abc"],
}
WANTED: list[str] = [
    *(
        "",
        "codex",
        "abc",
        "EFf",
        "ef0123",
        "REQ_",
        "%1",
        "_",
        "zürich",
        "ZÜRICH",
        "Down\nA",
        "a",
        HEX,
        "efab",
    ),
    *("ff", "f" * 33, "b/c", "two", "nowhere"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The ledger's file; of one on a server, the file that it would be."""
    return tmp_path / "usage.db"


@pytest.fixture
def page(ledger: Engine, path: Path) -> Iterator[Callable[[], Engine]]:
    """Starts processes that keep days, as the monitoring page does; two run at a time."""
    engines: list[Engine] = []

    def made() -> Engine:
        if len(engines) == 2:  # a server takes a hundred connections, and there are many examples
            engines.pop(0).dispose()
        engine = reader(ledger.url)
        keep_days(engine, lambda: file_of(ledger.url, True, beside=path, engine=engine))
        engines.append(engine)
        return engine

    yield made
    for engine in engines:
        engine.dispose()


@pytest.fixture(scope="session")
def told(events: st.SearchStrategy[RequestEvent]) -> st.SearchStrategy[RequestEvent]:
    """Requests of four days with texts and durations."""
    durations = st.tuples(*(st.sampled_from(DURATIONS[n:]) for n in (1, 0)))
    texts = st.fixed_dictionaries({name: st.sampled_from(some) for name, some in TEXTS.items()})

    def made(event: RequestEvent, ms: tuple[float, float | None], words: dict[str, Any]) -> RequestEvent:
        return structs.replace(event, latency_ms=ms[0], latency_first_token_ms=ms[1], **words)

    return st.builds(made, events, durations, texts)


@st.composite
def filters(draw: st.DrawFn) -> RequestFilter:
    """Mostly with a condition that only rows can tell."""
    minutes = st.one_of(st.integers(-2_000, 5_000), st.sampled_from([-1_440, 0, 5, 60, 1_440]))
    since, until = sorted(
        DAY + timedelta(minutes=draw(minutes), microseconds=draw(st.sampled_from([0, 1]))) for _ in range(2)
    )
    found: dict[str, Any] = {"account_id": draw(st.sampled_from([(), ("one",)]))}
    found["status"] = draw(st.sampled_from([(), ("error",)]))
    for name in draw(st.sets(st.sampled_from(["text", "cache", "user_agent", "ms"]), max_size=3)):
        if name == "text":
            found["text"] = draw(st.sampled_from(WANTED[1:]))
        elif name == "cache":
            found["cache"] = (draw(st.sampled_from(["hit", "write", "miss", "unknown"])),)
        elif name == "user_agent":
            found["user_agent"] = (draw(st.sampled_from(["Codex/1", None])),)
        else:
            limits = ["min_latency_ms", "max_latency_ms", "min_first_token_ms", "max_first_token_ms"]
            found[draw(st.sampled_from(limits))] = draw(st.sampled_from(DURATIONS[1:]))
    return RequestFilter(since, until, **found)


def is_meant(where: RequestFilter, one: RequestEvent) -> bool:
    """What the filter's words say, in Python."""
    assert where.since and where.until
    met = where.since <= one.requested_at < where.until
    met = met and (not where.account_id or one.account_id in where.account_id)
    met = met and (not where.status or one.status in where.status)
    met = met and (not where.user_agent or (one.user_agent or None) in where.user_agent)
    met = met and (not where.cache or _cache(one.usage) in where.cache)
    for name, ms in (("latency", one.latency_ms), ("first_token", one.latency_first_token_ms)):
        low, high = getattr(where, f"min_{name}_ms"), getattr(where, f"max_{name}_ms")
        met = met and (low is None or (ms is not None and ms >= low))
        met = met and (high is None or (ms is not None and ms <= high))
    words = [getattr(one, name) or "" for name in SEARCHED]
    return met and any(_lower(where.text) in _lower(word) for word in words)


def _lower(text: str) -> bytes:
    return text.encode().lower()


def _cache(usage: Usage) -> str:
    if usage.input_tokens is None:
        return "unknown"
    if (usage.cached_input_tokens or 0) > 0:
        return "hit"
    written = (usage.cache_write_tokens or 0) + (usage.cache_write_1h_tokens or 0)
    return "write" if written > 0 else "miss"


def is_right(engine: Engine, where: RequestFilter, stored: list[RequestEvent]) -> None:
    """Every kind of question says what a recount says."""
    meant = [one for one in stored if is_meant(where, one)]
    with asking(engine, Limit(120)) as connection:
        assert queries.totals(connection, where, SEEDED) == expected(meant)
        for dimension in ("account_id", "model"):
            found = queries.by(connection, where, dimension, SEEDED, durations=True)
            for group in found.groups:
                same = [one for one in meant if (getattr(one, dimension) or "unknown") == group.value]
                assert group.totals == expected(same)
            assert sum(group.totals.requests for group in found.groups) == len(meant)
        assert where.since and where.until
        cuts = [where.since, where.since + timedelta(minutes=7), where.since + timedelta(hours=30)]
        edges = sorted({*(min(cut, where.until) for cut in cuts), where.until})
        if len(edges) > 1:
            lines = queries.series(connection, where, edges, SEEDED, durations=True)
            assert sum(point.totals.requests for line in lines for point in line.points) == len(meant)
            for line in lines:
                for point, (since, until) in zip(line.points, pairwise(edges), strict=True):
                    within = [one for one in meant if since <= one.requested_at < until]
                    assert point.totals == expected(within)
        shown = queries.page(connection, where, SEEDED, size=3)
        ids = [row.event_id for row in shown.rows]
        while shown.older is not None:
            shown = queries.page(connection, where, SEEDED, size=3, older_than=shown.older)
            ids += [row.event_id for row in shown.rows]
        assert len(ids) == len(meant)
        assert set(ids) == {one.id for one in meant}


@SEVERAL
@given(data=st.data())
@pytest.mark.slow
def test_answers_are_those_of_a_recount_whatever_happens(
    ledger: Engine,
    path: Path,
    page: Callable[[], Engine],
    told: st.SearchStrategy[RequestEvent],
    make_event: EventFactory,
    monkeypatch: pytest.MonkeyPatch,
    data: st.DataObject,
) -> None:
    monkeypatch.setattr(rows, "RECENT_ROWS", 1)
    shutil.rmtree(f"{path}.sums", ignore_errors=True)
    stored = {one.id: one for one in data.draw(st.lists(told, min_size=1, max_size=12))}
    newest = [make_event(requested_at=LATER)] if data.draw(st.booleans()) else []  # the days before are over
    refill(ledger, [*stored.values(), *newest])
    running, where = page(), data.draw(filters())
    is_right(running, where, list(stored.values()))
    change = data.draw(st.sampled_from(["late", "corrected", "hidden"]))
    with ledger.begin() as connection:
        changed = data.draw(told)
        if change == "late":
            record(connection, [changed])
        else:
            changed = structs.replace(changed, id=data.draw(st.sampled_from(sorted(stored))))
        if change == "hidden":
            mine = select(request_rows.c.id).where(request_rows.c.event_id == changed.id)
            hide(connection, list(connection.execute(mine).scalars()), LATER)
            del stored[changed.id]
        else:
            replace_event(connection, changed)
            stored[changed.id] = changed
    for engine in (running, page()):
        is_right(engine, where, list(stored.values()))
        is_right(engine, data.draw(filters()), list(stored.values()))


def test_rows_are_read_once_for_all_filters_and_processes(
    ledger: Engine, page: Callable[[], Engine], make_event: EventFactory
) -> None:
    hours = range(96)
    events = [make_event(requested_at=DAY + timedelta(hours=h), latency_ms=h) for h in hours]
    refill(ledger, [*events, make_event(requested_at=LATER)])
    first, second = page(), page()
    where = RequestFilter(DAY, DAY + timedelta(days=4))
    with asking(first) as connection:  # nine days are over, of which four have requests
        assert [read_ahead(connection, number) for number in range(10)] == [True] * 9 + [False]
    read: list[str] = []
    for engine in (first, second):
        event.listen(engine, "before_cursor_execute", lambda *about: read.append(about[2]))
        found = replace(where, max_latency_ms=50.0, text="gpt", cache=("hit",))
        with asking(engine, Limit(120)) as connection:
            assert queries.totals(connection, found, SEEDED) == expected(events[:51])
    assert not [one for one in read if "latency_ms" in one or "upstream_request_id" in one]
