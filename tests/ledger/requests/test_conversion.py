"""A ledger of before is taken over in place, in steps that can be interrupted."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, select, text
from sqlalchemy.engine import URL

from ledger.requests import conversion
from ledger.requests.queries import newest_request
from ledger.requests.writes import record
from ledger.schema import request_logs
from ledger.store import migrate, writer
from tests.ledger.requests.test_rollups import recount, stored
from tests.ledger.test_schema import upgrade

ROWS = 60


def before(url: URL) -> Engine:
    """A ledger of the version before, with requests."""
    engine = writer(url)
    upgrade(engine, "0009")
    rows = [
        {
            "event_id": f"old-{n}" if n % 2 else f"{n:032x}",
            "account_id": None if n % 7 == 0 else f"account-{n % 3}",
            "request_id": f"r-{n // 2}",
            "requested_at": f"2026-08-{20 + n % 3:02d} 12:{n % 60:02d}:00.000{n:03d}",
            "model": "gpt-5.5" if n % 2 else "gpt-5.4",
            "status": ("success", "error", "cancelled")[n % 3],
            "input_tokens": n * 10_000,
            "latency_ms": None if n == 5 else n * 1.5,
            "session_id": f"s-{n // 20}",
            "extra_units": '{"web_search": 2}' if n == 9 else None,
            "provider_cost_usd": "0.0001" if n == 9 else None,
            "login": n % 2 == 0,
            "deleted_at": "2026-08-23 00:00:00.000000" if n == 11 else None,
        }
        for n in range(ROWS)
    ]
    names = list(rows[0])
    insert = (
        f"INSERT INTO request_logs ({', '.join(names)}, output_tokens, request_kind)"
        f" VALUES ({', '.join(':' + name for name in names)}, 7, 'normal')"
    )
    with engine.begin() as connection:
        connection.execute(text(insert), rows)
    return engine


def shown(engine: Engine) -> list[dict[str, Any]]:
    """What the store's own `request_logs` shows, whatever it is."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM request_logs ORDER BY id")).mappings().all()
    return [
        {
            k: str(v)[:26] if k in ("requested_at", "deleted_at") and v else bool(v) if k == "login" else v
            for k, v in row.items()
        }
        for row in rows
    ]


def test_every_row_is_what_it_was_and_the_sums_are_theirs(url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "STEP_ROWS", 7)
    engine = before(url)
    rows = shown(engine)
    migrate(engine)
    assert shown(engine) == rows
    assert len(rows) == ROWS
    for found, wanted in zip(stored(engine), recount(engine), strict=True):
        assert found == wanted
    assert sum(r["requests"] for r in stored(engine)[0].values()) == ROWS - 1  # one is marked as deleted
    assert not inspect(engine).has_table(conversion.BEFORE)
    engine.dispose()


def test_interrupted_it_shows_all_rows_and_goes_on_with_the_next_start(
    url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "STEP_ROWS", 7)
    engine = before(url)
    rows = shown(engine)
    steps = iter(range(3))
    take = conversion._take

    def take_or_die(*arguments: Any) -> None:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        take(*arguments)

    monkeypatch.setattr(conversion, "_take", take_or_die)
    with pytest.raises(KeyboardInterrupt):
        migrate(engine)
    assert shown(engine) == rows
    with engine.connect() as connection:
        assert len(connection.execute(select(request_logs)).all()) == 21
    monkeypatch.setattr(conversion, "_take", take)
    migrate(engine)
    assert shown(engine) == rows
    engine.dispose()


def test_two_processes_share_the_work(url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "STEP_ROWS", 3)
    engine = before(url)
    rows = shown(engine)
    engines = [engine, writer(url, busy_timeout_seconds=60), writer(url, busy_timeout_seconds=60)]
    threads = [threading.Thread(target=migrate, args=(one,)) for one in engines[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    migrate(engine)
    assert shown(engine) == rows
    for found, wanted in zip(stored(engine), recount(engine), strict=True):
        assert found == wanted
    for one in engines:
        one.dispose()


def test_new_requests_come_after_the_old_ones(url: URL, make_event: Any) -> None:
    engine = before(url)
    migrate(engine)
    event = make_event()
    with engine.begin() as connection:
        record(connection, [event])
    assert shown(engine)[-1]["event_id"] == event.id
    with engine.connect() as connection:
        assert newest_request(connection) is not None
    engine.dispose()
