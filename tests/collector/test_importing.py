"""What other programs have written becomes events of the ledger, each once."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import URL, create_engine, func, select

from collector.__main__ import main
from collector.errors import ImportFailed
from collector.importing.files import PAGE, look
from collector.importing.run import Summary, Wish, import_files
from ledger.request_tables import request_hourly
from ledger.schema import accounts, daily_stats
from ledger.upkeep import retention
from ledger.upkeep.retention import Keep
from settings.model import Settings
from tests.collector.conftest import Scene, until
from tests.support.gateway.records import encoded, record
from tests.support.gateway.server import Gateway
from tests.support.ledgers import migrated

CPAMP = (
    "request_id",
    *("event_hash", "timestamp_ms", "timestamp", "provider", "executor_type", "model", "requested_model"),
    *("resolved_model", "endpoint", "auth_type", "auth_index", "source", "api_key_hash", "account_snapshot"),
    *("auth_file_snapshot", "reasoning_effort", "service_tier", "request_service_tier"),
    *("response_service_tier", "cache_input_mode", "input_tokens", "output_tokens", "reasoning_tokens"),
    *("cached_tokens", "cache_tokens", "cache_read_tokens", "cache_creation_tokens", "total_tokens"),
    *("latency_ms", "ttft_ms", "failed", "fail_status_code", "fail_summary", "raw_json"),
)
BEGAN = datetime(2026, 11, 3, 10, 0, tzinfo=UTC)


def cpamp_row(number: int, **changed: Any) -> dict[str, Any]:
    found = {
        "request_id": f"r{number}",
        "event_hash": f"{number:064x}",
        "timestamp_ms": round(BEGAN.timestamp() * 1000) + number,
        "timestamp": (BEGAN + timedelta(milliseconds=number)).isoformat(),
        "provider": "claude",
        "model": "claude-sonnet-4-5",
        "resolved_model": "claude-sonnet-4-5",
        "requested_model": "sonnet",
        "endpoint": "POST /v1/messages",
        "auth_type": "oauth",
        "auth_index": "abc123",
        "source": "ann***@example.org",
        "api_key_hash": "0123456789abcdef" * 4,
        "account_snapshot": "anna@example.org",
        "auth_file_snapshot": "claude-anna.json",
        "cache_input_mode": "separate_from_input",
        "input_tokens": 7_110,
        "output_tokens": 2_271,
        "reasoning_tokens": 0,
        "cached_tokens": 5_545,
        "cache_tokens": 0,
        "cache_read_tokens": 5_545,
        "cache_creation_tokens": 100,
        "total_tokens": 15_026,
        "latency_ms": 1_436,
        "ttft_ms": 400,
        "failed": False,
    }
    return {**found, **changed}


def as_lines(path: Path, rows: Sequence[Mapping[str, Any]], *more: str) -> str:
    path.write_text("\n".join([*map(json.dumps, rows), *more]) + "\n")
    return str(path)


def as_table(path: Path, table: str, columns: tuple[str, ...], rows: Sequence[Mapping[str, Any]]) -> str:
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, {', '.join(columns)})")
        marks = ", ".join("?" for _ in columns)
        connection.executemany(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})",
            [[row.get(name) for name in columns] for row in rows],
        )
    connection.close()
    return str(path)


def taken(scene: Scene, *files: str, bar: io.StringIO | None = None, **wish: Any) -> list[Summary]:
    settings = Settings.model_validate({"storage": {"database_path": str(scene.ledger_path)}})
    return list(import_files(settings, Wish(files, **wish), bar))


@pytest.mark.slow
def test_an_export_is_imported_once(scene: Scene) -> None:
    rows = [cpamp_row(number) for number in range(PAGE + 5)]
    file = as_lines(scene.folder / "usage.jsonl", [*rows, rows[0]], "{broken", '{"event_hash":"x"}')
    (first,) = taken(scene, file)
    assert (first.kind, first.new, first.known) == ("CPA-Manager-Plus", PAGE + 5, 1)
    assert sum(first.problems.values()) == 2
    (again,) = taken(scene, file)
    assert (again.new, again.known) == (0, PAGE + 6)
    assert len(scene.rows()) == PAGE + 5


def test_the_same_event_from_the_export_and_from_the_database_is_one(scene: Scene) -> None:
    rows = [cpamp_row(number) for number in range(3)]
    export = as_lines(scene.folder / "usage.jsonl", rows)
    database = as_table(scene.folder / "usage.sqlite", "usage_events", CPAMP, [*rows, cpamp_row(3)])
    both = taken(scene, export, database)
    assert [(found.new, found.known) for found in both] == [(3, 0), (1, 3)]


def test_what_a_gateways_event_says(scene: Scene) -> None:
    said = '{"error": {"message": "too many of sk-ant-api03-1234567890", "code": "slow_down"}}\n{"Date": []}'
    failed = {"failed": True, "fail_status_code": 429, "fail_summary": said}
    rows = [cpamp_row(0), cpamp_row(1, **failed), cpamp_row(2, latency_ms=None, ttft_ms=None)]
    taken(scene, as_lines(scene.folder / "usage.jsonl", rows), gateway="cpa")
    good, bad, timeless = scene.rows()
    assert good["requested_at"] == datetime(2026, 11, 3, 10, 0, 1, 436_000, tzinfo=UTC)
    counts = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens")
    assert [good[name] for name in counts] == [12_755, 2_271, 5_545, 100]
    named = ("account_id", "gateway", "source", "provider", "model", "requested_model", "api_key_id")
    assert [good[name] for name in named] == [
        *("cpa/abc123", "cpa", "import", "anthropic", "claude-sonnet-4-5", "sonnet", "#0123456789ab")
    ]
    assert (bad["status"], bad["http_status"], bad["error_class"]) == ("error", 429, "rate_limit")
    assert (bad["error_code"], bad["error_message"]) == ("slow_down", "too many of [...]")
    assert "1234567890" not in str(bad)
    assert timeless["latency_ms"] is None
    with scene.reader().connect() as connection:
        account = connection.execute(select(accounts).where(accounts.c.id == "cpa/abc123")).one()
    assert (account.email, account.alias, account.credential) == (
        "anna@example.org",
        "claude-anna.json",
        None,
    )


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ({"provider": "codex", "model": "gpt-5.5", "cache_input_mode": "included_in_input"}, (7_110, 2_271)),
        ({"provider": "gemini", "model": "gemini-2.5-pro", "cache_input_mode": "included_in_input",
          "reasoning_tokens": 29}, (7_110, 2_300)),
        ({"cache_input_mode": None}, (12_755, 2_271)),
        ({"raw_json": json.dumps(record(1, BEGAN, Random(1), failed=False, tokens={}, token_breakdown={
          "input": {"total_tokens": 9}, "output": {"total_tokens": 8}}))}, (9, 8)),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_counts_by_the_providers_custom(
    scene: Scene, changed: dict[str, Any], counts: tuple[int, int]
) -> None:
    rows = [cpamp_row(0, **{"resolved_model": None, **changed})]
    taken(scene, as_table(scene.folder / "usage.sqlite", "usage_events", CPAMP, rows))
    (row,) = scene.rows()
    assert (row["input_tokens"], row["output_tokens"]) == counts


def test_a_log_of_codex_usage(scene: Scene) -> None:
    columns = (
        *("timestamp", "model", "title", "summary", "conversation_id", "prompt_tokens"),
        *("cached_prompt_tokens", "completion_tokens", "total_tokens", "reasoning_tokens", "usage_included"),
    )
    said: dict[str, Any] = {
        "timestamp": "2026-02-01T08:00:00.5Z",
        "model": "gpt-5.1-codex",
        "title": "a private title",
        "conversation_id": "c1",
        "prompt_tokens": 100,
        "cached_prompt_tokens": 40,
        "completion_tokens": 20,
        "total_tokens": 120,
        "reasoning_tokens": 5,
        "usage_included": 1,
    }
    rows = [said, said, {**said, "usage_included": 0}, {"model": "gpt-5.1-codex"}]
    file = as_table(scene.folder / "old.db", "event_log", columns, rows)
    (found,) = taken(scene, file)
    assert (found.kind, found.new, sum(found.problems.values())) == ("codex-usage", 3, 1)
    assert taken(scene, file)[0].new == 0
    first, _, silent = scene.rows()
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "session_id")
    assert [first[name] for name in names] == [100, 40, 20, 5, "c1"]
    assert (first["account_id"], first["latency_ms"]) == ("default", None)
    assert silent["input_tokens"] is None
    assert b"a private title" not in scene.ledger_path.read_bytes()


def test_a_store_of_codex_lb(scene: Scene) -> None:
    store = scene.folder / "store.db"
    columns = ("account_id", "request_id", "requested_at", "model", "status", "input_tokens", "output_tokens",
               "latency_ms", "error_code", "service_tier", "requested_service_tier", "actual_service_tier",
               "deleted_at")  # fmt: skip
    row = {
        "account_id": "acc-1",
        "request_id": "q1",
        "requested_at": "2026-08-01 12:00:00.25",
        "model": "gpt-5.5",
        "status": "SUCCESS",
        "input_tokens": 10,
        "output_tokens": 2,
        "latency_ms": 900,
        "requested_service_tier": "priority",
        "actual_service_tier": "default",
    }
    rows = [
        row,
        {**row, "status": "error", "error_code": "usage_limit_reached", "account_id": None},
        {**row, "deleted_at": "2026-08-02 00:00:00"},
        {**row, "requested_at": "soon"},
    ]
    as_table(store, "request_logs", columns, rows)
    with sqlite3.connect(store) as owner:
        owner.execute("CREATE TABLE accounts (id TEXT, email TEXT, plan_type TEXT, status TEXT, token BLOB)")
        owner.execute("INSERT INTO accounts VALUES ('acc-1', 'ben@example.org', 'Plus', 'ACTIVE', x'00')")
    owner.close()
    (found,) = taken(scene, str(store))
    assert (found.kind, found.new, found.left_out, sum(found.problems.values())) == ("codex-lb", 2, 1, 1)
    good, bad = scene.rows()
    names = ("account_id", "requested_service_tier", "service_tier", "latency_ms")
    assert [good[name] for name in names] == ["acc-1", "priority", "default", 900]
    assert (bad["account_id"], bad["error_class"]) == ("codex-lb", "quota")
    with scene.reader().connect() as connection:
        known = connection.execute(select(accounts).where(accounts.c.id == "acc-1")).one()
    assert (known.email, known.plan_type, known.status, known.origin) == (
        *("ben@example.org", "plus", "active", "import"),
    )


def test_a_store_of_codex_lb_on_postgresql(scene: Scene, postgres_url: URL) -> None:
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE request_logs (id SERIAL PRIMARY KEY, request_id TEXT, requested_at TIMESTAMP, "
            "model TEXT, status TEXT, input_tokens INTEGER, output_tokens INTEGER)"
        )
        connection.exec_driver_sql(
            "INSERT INTO request_logs (request_id, requested_at, model, status, input_tokens, output_tokens) "
            "SELECT 'q' || n, TIMESTAMP '2026-08-01 12:00:00.25', 'gpt-5.5', 'success', 10, 2 "
            f"FROM generate_series(1, {PAGE + 1}) n"
        )
    engine.dispose()
    place = postgres_url.render_as_string(hide_password=False)
    (found,) = taken(scene, place)
    assert (found.kind, found.new, found.known) == ("codex-lb", PAGE + 1, 0)
    assert taken(scene, place)[0].known == PAGE + 1
    assert {row["requested_at"] for row in scene.rows()} == {
        datetime(2026, 8, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    }
    with pytest.raises(ImportFailed, match="FILE scheme 'mysql' is not supported"):
        look("mysql://somewhere/db")


def test_a_dry_run_says_the_same_and_writes_nothing(scene: Scene) -> None:
    rows = [cpamp_row(number) for number in range(4)]
    file = as_lines(scene.folder / "usage.jsonl", [*rows, rows[0]])
    (dry,) = taken(scene, file, dry=True)
    assert (dry.new, dry.known) == (4, 1)
    assert not scene.ledger_path.exists()
    taken(scene, as_lines(scene.folder / "half.jsonl", rows[:2]))
    before = scene.ledger_path.read_bytes()
    (dry,) = taken(scene, file, dry=True)
    assert (dry.new, dry.known) == (2, 3)
    assert scene.ledger_path.read_bytes() == before
    (real,) = taken(scene, file)
    assert dry == real


def test_what_was_collected_already_can_be_left_out(scene: Scene) -> None:
    rows = [cpamp_row(0), cpamp_row(60_000)]
    (found,) = taken(
        scene,
        as_lines(scene.folder / "usage.jsonl", rows),
        until=datetime(2026, 11, 3, 10, 0, 30, tzinfo=UTC),
    )
    assert (found.new, found.left_out) == (1, 1)


def stored_twice(raw: Mapping[str, Any], number: int, *, whole: bool) -> dict[str, Any]:
    """What CPA-Manager-Plus keeps of a gateway's record; `whole`: with the record itself."""
    tokens, began = raw["tokens"], datetime.fromisoformat(raw["timestamp"][:26] + "Z")
    return cpamp_row(
        number,
        timestamp=None if whole else f"{began:%Y-%m-%dT%H:%M:%S.%f}"[:23] + "Z",
        timestamp_ms=int(began.timestamp() * 1_000),
        model=raw["alias"],
        resolved_model=raw["model"],
        provider=raw["provider"],
        failed=raw["failed"],
        fail_status_code=raw["fail"]["status_code"] or None,
        latency_ms=raw["latency_ms"],
        raw_json=json.dumps(raw) if whole else None,
        cache_input_mode=None,
        **{name: tokens[name] for name in ("input_tokens", "output_tokens", "reasoning_tokens")},
    )


@pytest.mark.parametrize("whole", [True, False], ids=["database", "export"])
async def test_what_was_collected_is_no_second_request(scene: Scene, gateway: Gateway, whole: bool) -> None:
    """Also under another name of the gateway, and of requests that say the same as many as there were."""
    made = [scene.record() for _ in range(60)]
    alike = {**made[0], "failed": True, "fail": {"status_code": 429, "body": ""}}
    async with scene.collecting(gateway) as service:
        await until(lambda: service.gateways[0].status.connected)
        for raw in (*made, alike, alike):
            gateway.queue.publish(encoded(raw))
        await until(lambda: len(scene.rows()) == 62)
    older = cpamp_row(1_000)
    rows = [stored_twice(raw, number, whole=whole) for number, raw in enumerate([*made, alike, alike, alike])]
    if whole:
        file = as_table(scene.folder / "usage.sqlite", "usage_events", CPAMP, [older, *rows])
    else:
        file = as_lines(scene.folder / "usage.jsonl", [older, *rows])
    (dry,) = taken(scene, file, dry=True)
    (found,) = taken(scene, file)
    assert (found.new, found.collected, found.known) == (dry.new, dry.collected, 0) == (2, 62, 0)
    assert "2 new, 0 known, 0 unreadable, 62 collected already" in found.line(dry=False)
    (again,) = taken(scene, file)
    assert (again.new, again.collected, again.known) == (0, 62, 2)
    assert len(scene.rows()) == 64


def decoded(scene: Scene) -> int:
    """How many items of the inbox are done with."""
    with closing(sqlite3.connect(scene.inbox_path)) as inbox:
        return int(inbox.execute("SELECT count(*) FROM items WHERE state = 1").fetchone()[0])


@pytest.mark.parametrize("whole", [True, False], ids=["database", "export"])
async def test_what_was_imported_is_no_second_request_when_it_is_collected(
    scene: Scene, gateway: Gateway, whole: bool
) -> None:
    """Also of requests that say the same, as many as there were, and when all is decoded once more."""
    answer = {"status_code": 429, "body": "slow down"}
    made = [scene.record(model="unknown", failed=True, fail=answer), *(scene.record() for _ in range(9))]
    alike = {**made[1], "failed": True, "fail": answer}
    rows = [stored_twice(raw, number, whole=whole) for number, raw in enumerate([*made, alike, alike])]
    if whole:
        file = as_table(scene.folder / "usage.sqlite", "usage_events", CPAMP, rows)
    else:
        file = as_lines(scene.folder / "usage.jsonl", rows)
    (found,) = taken(scene, file)
    assert (found.new, found.collected) == (12, 0)
    imported = [row["id"] for row in scene.rows()]
    late = scene.record()
    published = [*made, alike, alike, alike, late]
    for raw in published:
        gateway.queue.publish(encoded(raw))
    async with scene.collecting(gateway):
        await until(lambda: len(scene.rows()) >= 14)
    assert [row["source"] for row in scene.rows()] == [*["import"] * 12, *["collector"] * 2]
    assert [row["id"] for row in scene.rows()][:12] == imported
    with closing(sqlite3.connect(scene.inbox_path)) as inbox, inbox:  # as if settling had been lost
        inbox.execute("UPDATE items SET state = 0")
    async with scene.collecting(gateway):
        await until(lambda: decoded(scene) == len(published))
    (again,) = taken(scene, file)
    assert (again.new, again.collected, again.known) == (0, 12, 0)
    assert len(scene.rows()) == 14
    with scene.reader().connect() as connection:
        assert connection.execute(select(func.sum(request_hourly.c.requests))).scalar_one() == 14


@pytest.mark.slow
def test_how_far_it_is(scene: Scene) -> None:
    bar = io.StringIO()
    rows = [cpamp_row(number) for number in range(2 * PAGE)]
    taken(scene, as_lines(scene.folder / "usage.jsonl", rows), bar=bar)
    drawn = bar.getvalue()
    assert " 50%" in drawn
    assert "[" + "#" * 30 + "] 100%" in drawn


def test_what_cannot_be_imported_at_all(scene: Scene) -> None:
    folder = scene.folder
    (folder / "text").write_text("hello\n")
    as_table(folder / "other.db", "things", ("name",), [])
    for name, words in {
        "text": "neither a SQLite file nor",
        "none": "No such file",
        "other.db": "has none of the tables usage_events, request_logs, event_log",
    }.items():
        with pytest.raises(ImportFailed, match=words):
            look(str(folder / name))
    engine = migrated(folder / "ours.db")
    engine.dispose()
    with pytest.raises(ImportFailed, match="is a ledger of Quotascope itself"):
        look(str(folder / "ours.db"))


def test_the_command(
    scene: Scene, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scene.folder)
    scene.folder.joinpath("codex-usage.toml").write_text(
        f'[storage]\ndatabase_path = "{scene.ledger_path}"\n'
    )
    file = as_lines(scene.folder / "usage.jsonl", [cpamp_row(0)])
    assert main(["import", "--dry-run", file]) == 0
    assert main(["import", file]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{file} (CPA-Manager-Plus): 1 would be new, 0 known, 0 unreadable",
        f"{file} (CPA-Manager-Plus): 1 new, 0 known, 0 unreadable",
    ]
    assert main(["import", as_lines(scene.folder / "bad.jsonl", [cpamp_row(1)], "{broken")]) == 1
    assert "1 x no JSON object" in capsys.readouterr().out
    assert main(["import", str(scene.folder / "absent")]) == 2


@pytest.mark.slow
def test_imported_requests_are_in_the_sums(scene: Scene) -> None:
    taken(scene, as_lines(scene.folder / "usage.jsonl", [cpamp_row(0)]))
    with sqlite3.connect(scene.ledger_path) as connection:
        found = connection.execute("SELECT requests, input_tokens FROM daily_stats").fetchall()
    connection.close()
    assert found == [(1, 12_755)]


def test_what_was_imported_and_then_forgotten_is_not_counted_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention takes the rows, by which a request is known; their sums stay."""
    monkeypatch.setattr(retention, "SETTLE_SECONDS", 0.0)
    file = as_lines(scene.folder / "usage.jsonl", [cpamp_row(number) for number in range(3)])
    other = as_lines(scene.folder / "other.jsonl", [cpamp_row(number) for number in range(3, 5)])
    (first,) = taken(scene, file)
    assert first.new == 3
    ledger = migrated(scene.ledger_path)

    def number() -> int:
        with ledger.connect() as connection:
            return int(connection.execute(select(func.sum(daily_stats.c.requests))).scalar() or 0)

    def kept(days: int, hours: int | None) -> None:
        assert retention.prune(ledger, Keep(days, hours), BEGAN + timedelta(days=days + 2)) is not None

    kept(30, None)
    for dry in (True, False):
        (again,) = taken(scene, file, dry=dry)
        assert (again.new, again.known, number()) == (0, 3, 3), f"dry: {dry}"
    (late,) = taken(scene, other, gateway="another")  # it is older, too, but nobody has counted it
    assert (late.new, number()) == (2, 5)
    more = as_lines(scene.folder / "more.jsonl", [cpamp_row(number) for number in range(3, 7)])
    (rest,) = taken(scene, more, gateway="another")  # as after an import that was interrupted
    assert (rest.new, rest.known, number()) == (2, 2, 7)
    kept(30, 30)  # from now on the sums of hours are gone as well: it cannot be told any more
    (last,) = taken(scene, file)
    assert (last.new, last.left_out, number()) == (0, 3, 7)
    ledger.dispose()
