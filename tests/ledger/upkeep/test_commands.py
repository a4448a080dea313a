"""`python -m ledger backup`, `restore`, `check` and the others, as a person uses them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import URL, text

from ledger.outbox import Outbox, SetAside
from ledger.requests.writes import record
from ledger.store import sqlite_url, writer
from ledger.upkeep import copies
from ledger.values import RequestEvent
from tests.ledger.conftest import Ask
from tests.support.ledgers import migrated


@pytest.fixture
def filled(ask: Ask, make_event: Callable[..., RequestEvent]) -> None:
    change("")
    engine = writer(sqlite_url(Path("usage.db")))
    with engine.begin() as connection:
        record(connection, [make_event(model=f"model-{n % 2}") for n in range(20)])
    engine.dispose()


def change(statement: str) -> None:
    engine = migrated(Path("usage.db"))
    if statement:
        with engine.begin() as connection:
            connection.execute(text(statement))
    engine.dispose()


@pytest.mark.parametrize("command", ["backup", "check", "vacuum", "export", "stats", "migrate"])
@pytest.mark.slow
def test_without_a_ledger_each_says_so_and_makes_none(ask: Ask, command: str) -> None:
    done = ask(command)
    assert (done.code, done.out) == (2, "")
    assert done.err == "ledger: no ledger at usage.db yet; the proxy creates it when it starts\n"
    assert not Path("usage.db").exists()


def test_backup_damage_and_restore(ask: Ask, filled: None) -> None:
    assert ask("backup", "copy.db").out.startswith("copy.db: ")
    change("DELETE FROM request_rows")
    refused = ask("restore", "copy.db")
    assert (refused.code, refused.out) == (2, "")
    assert "--replace" in refused.err
    assert "the ledger before it is usage.db.replaced-" in ask("restore", "copy.db", "--replace").out
    assert "20 requests and their aggregates are consistent" in ask("check").out


@pytest.mark.slow
def test_check_tells_and_mends(ask: Ask, filled: None) -> None:
    change("UPDATE request_hourly SET requests = requests + 1")
    told = ask("check")
    assert told.code == 2
    assert "the aggregates of 1 hours do not match the requests: --repair rebuilds them" in told.err
    assert "the aggregates of 1 hours were rebuilt" in ask("check", "--repair").out
    assert ask("check").code == 0


def test_export_to_a_file_and_to_the_screen(ask: Ask, filled: None) -> None:
    assert ask("export", "all.csv").out == "20 requests written to all.csv\n"
    assert len(Path("all.csv").read_text().splitlines()) == 21
    assert Path("all.csv").stat().st_mode & 0o777 == 0o600
    shown = ask("export", "--model", "model-1", "--since", "2026-08-21").out.splitlines()
    assert [json.loads(line)["model"] for line in shown] == ["model-1"] * 10
    assert ask("export", "--http-status", "many").err.startswith("ledger: --http-status 'many': allowed")
    assert "allowed: a date or time" in ask("export", "--since", "yesterday").err
    assert "cannot write nowhere/x.csv" in ask("export", "nowhere/x.csv").err


def test_an_export_that_would_answer_another_question_is_refused(ask: Ask, filled: None) -> None:
    for words in (["all.xlsx"], ["all"], ["all.csv", "--status", "err"]):
        done = ask("export", *words)
        assert (done.code, done.out) == (2, "")
        assert "allowed: " in done.err or "choose from" in done.err
        assert done.err.count("\n") == 1
        assert not Path(words[0]).exists()
    assert ask("export", "all", "--format", "csv", "--status", "success").code == 0


def test_stats(ask: Ask, filled: None) -> None:
    said = ask("stats").out
    for line in (
        "requests             20, ",
        "aggregated           20",
        "requests kept since  the beginning",
    ):
        assert line in said


@pytest.mark.slow
def test_vacuum_gives_back_what_is_free(ask: Ask, filled: None) -> None:
    change("INSERT INTO failure_bodies VALUES ('x', 1, zeroblob(3000000))")
    change("DELETE FROM failure_bodies")
    assert ask("vacuum").out.startswith("3.0 MB given back")
    assert Path("usage.db").stat().st_size < 1_000_000
    assert ask("vacuum", "--full").code == 0


def test_a_file_that_cannot_give_space_back_step_by_step_is_told_what_helps(ask: Ask, filled: None) -> None:
    change("PRAGMA auto_vacuum=NONE")
    engine = writer(sqlite_url(Path("usage.db")))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for statement in ("PRAGMA journal_mode=DELETE", "PRAGMA auto_vacuum=NONE", "VACUUM"):
            connection.exec_driver_sql(statement)
    engine.dispose()
    assert "`python -m ledger vacuum --full`" in ask("vacuum").err
    assert ask("vacuum", "--full").code == 0
    assert ask("vacuum").code == 0


def test_a_ledger_of_a_newer_version_is_refused_in_one_line(ask: Ask, filled: None) -> None:
    change("UPDATE alembic_version SET version_num = '9999'")
    for command in (["check"], ["stats"], ["export"], ["migrate"], ["backup"], ["accounts", "list"]):
        done = ask(*command)
        assert done.code == 2
        assert "newer schema (9999, supported: " in done.err
        assert done.err.count("\n") == 1


def test_a_full_disk_is_one_line(ask: Ask, filled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "free_bytes", lambda target: 7)
    assert "only 7 are free" in ask("backup").err


def test_stats_shows_what_waits_in_the_outbox_and_what_is_set_aside(ask: Ask, postgres_url: URL) -> None:
    url = postgres_url.set(drivername="postgresql").render_as_string()
    Path("codex-usage.toml").write_text(f'[storage]\ndatabase_url = "{url}"\n')
    assert "outbox" not in ask("stats").out
    outbox = Outbox(Path("outbox.db"), 2**20)
    with closing(outbox.connect()) as file:
        for _ in range(3):
            outbox.append(file, "events", 7, b"...")
        (first, *_) = outbox.oldest(file)
        outbox.remove(file, [first], [SetAside("events", 1, b"", "DataError (22003)")])
    said = ask("stats").out
    assert "outbox               14 wait in outbox.db, " in said
    assert "set aside there      1 refused: DataError (22003)" in said
