"""Requests that come by two ways, from a gateway and from what another program has stored of it, are one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, func, select

from ledger.request_tables import request_hourly, request_logs
from ledger.requests import collected, writes
from ledger.values import RequestEvent

AT = datetime(2026, 11, 3, 23, 59, 59, 998_000, tzinfo=UTC)


def sources(ledger: Engine) -> list[tuple[str, bool]]:
    with ledger.connect() as connection:
        rows = connection.execute(select(request_logs).order_by(request_logs.c.id)).mappings().all()
        total = connection.execute(select(func.sum(request_hourly.c.requests))).scalar_one()
    assert total == len(rows)
    return [(row["source"], row["event_id"].startswith(collected.COLLECTED)) for row in rows]


def test_each_imported_request_stands_for_one_collected(
    ledger: Engine, make_event: Callable[..., RequestEvent]
) -> None:
    """Some microseconds are between the two; alike ones are as many as there were."""

    def of(way: str, number: int, **changes: object) -> RequestEvent:
        id = f"{number:032x}" if way == "import" else f"c-{number:032x}"
        later = timedelta(microseconds=0 if way == "import" else 700)
        plain = {"requested_at": AT + later, "latency_ms": 250.0, "gateway": "cpa", "source": way}
        return make_event(id=id, **{**plain, **changes})

    nobody = {"model": None, "status": "error", "http_status": 500}
    imported = [of("import", 1), of("import", 2), of("import", 3, **nobody), of("import", 4, latency_ms=9.0)]
    other = make_event(id="5" * 32, requested_at=AT, latency_ms=250.0, source="import")  # of no gateway
    with ledger.begin() as connection:
        writes.record(connection, [*imported, other])
    came = [of("collector", 11), of("collector", 12), of("collector", 13), of("collector", 14, **nobody)]
    for _ in range(2):  # what is decoded once more is known by its id
        with ledger.begin() as connection:
            fresh = writes.missing(connection, came)
            adopted = collected.adopted(connection, fresh)
            writes.record(connection, [event for event in fresh if event not in adopted])
    assert sources(ledger) == [
        *[("import", True)] * 3,
        ("import", False),
        ("import", False),
        ("collector", True),
    ]
    with ledger.begin() as connection:
        known = collected.without(connection, writes.missing(connection, imported), Counter())
    assert known == []


def test_where_nothing_was_imported_nothing_is_looked_for(
    ledger: Engine, make_event: Callable[..., RequestEvent]
) -> None:
    with ledger.begin() as connection:
        event = make_event(source="collector", gateway="cpa")
        assert collected.adopted(connection, [event]) == []
