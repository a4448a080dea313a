"""`python -m console status`: the numbers are the truth, in every shape, and what is wrong is one line."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from console.terminal import lines
from ledger.accounts import changes
from ledger.pricing.prices import PriceBook
from ledger.requests.writes import record
from ledger.store import migrate, writer
from simulator.history.totals import totals
from tests.console.conftest import EVENT, ROOT, Books
from tests.console.terminal.conftest import Done, Told, as_a_process

Status = Callable[..., Done]

TEXT, WHOLE, TIME = str, int, r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
SCHEMA: dict[str, Any] = {
    "schema": WHOLE,
    "at": TIME,
    "zone": TEXT,
    "level": "ok|warn|crit",
    "newest_request_at": (TIME, None),
    "periods": [
        {
            "name": "hour|today|week|month|12_months",
            "since": TIME,
            "until": TIME,
            "cost_usd": Decimal,
            **dict.fromkeys(
                (
                    *("unpriced_requests", "requests", "successes", "errors", "cancelled", "input_tokens"),
                    *("cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
                ),
                WHOLE,
            ),
            "before": ({"cost_usd": Decimal, "requests": WHOLE}, None),
        }
    ],
    "accounts": [
        {
            "id": TEXT,
            "plan": TEXT,
            "status": "active|rate_limited|quota_exceeded|paused|reauth_required|deactivated",
            "standing": TEXT,
            "windows": [
                {
                    "slot": "primary|secondary",
                    "minutes": (WHOLE, None),
                    "used_percent": Decimal,
                    "reset_at": (TIME, None),
                    "resets_in_seconds": (WHOLE, None),
                    "empty_at": (TIME, None),
                    "left_percent_at_reset": (Decimal, None),
                }
            ],
        }
    ],
}
"""What programs may rely on: docs/terminal.md has the same."""


def fits(value: Any, kind: Any, where: str = "$") -> None:
    """Fails where a document is not of the schema, and where it has a field that is not described."""
    if isinstance(kind, tuple):
        return None if value is None else fits(value, kind[0], where)
    if isinstance(kind, dict):
        assert set(value) == set(kind), where
        for name, inner in kind.items():
            fits(value[name], inner, f"{where}.{name}")
    elif isinstance(kind, list):
        for number, one in enumerate(value):
            fits(one, kind[0], f"{where}[{number}]")
    elif isinstance(kind, str):
        assert re.fullmatch(kind, value), f"{where} = {value!r}"
    elif kind is Decimal:
        assert isinstance(value, (int, Decimal)), f"{where} = {value!r}"
    else:
        assert type(value) is kind, f"{where} = {value!r}"
    return None


def parsed(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.slow
def test_every_period_is_what_the_simulator_counted(told: Told, status: Status, book: PriceBook) -> None:
    found = parsed(status(told.path, "--json", config='[console]\ntime_zone = "Asia/Kolkata"').out)
    fits(found, SCHEMA)
    assert found["zone"] == "Asia/Kolkata"
    assert [period["name"] for period in found["periods"]] == ["hour", "today", "week", "month", "12_months"]
    for period in found["periods"]:
        since, until = moment(period["since"]), moment(period["until"])
        true = totals((e for e in told.history.events if since <= e.requested_at < until), book)
        assert period["requests"] == true.count(), period["name"]
        assert period["errors"] == true.count(status="error")
        assert period["cancelled"] == true.count(status="cancelled")
        assert period["cost_usd"] == true.cost.usd, period["name"]
        assert period["unpriced_requests"] == true.cost.unpriced_requests
        names = {"input": "input_tokens", "cached_input": "cached_input_tokens", "output": "output_tokens"}
        for kind, name in {**names, "cache_write": "cache_write_tokens"}.items():
            assert period[name] == true.token_count(kind), (period["name"], kind)
    assert found["periods"][-1]["requests"] == len(told.history.events)


def test_the_period_before_ends_where_this_one_has_got_to(books: Books, status: Status) -> None:
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    yesterday = midnight - timedelta(days=1)
    books.add(3, requested_at=yesterday)
    books.add(5, requested_at=yesterday + (now - midnight) + timedelta(minutes=1))
    books.add(7, requested_at=midnight)
    found = parsed(status(books.path, "--json", config='[console]\ntime_zone = "UTC"').out)
    today = found["periods"][1]
    late = 5 if yesterday + (now - midnight) + timedelta(minutes=1) >= midnight else 0
    assert (today["requests"], today["before"]["requests"]) == (7 + late, 3)


def test_a_line_for_a_status_bar(books: Books, windows: Callable[..., None], status: Status) -> None:
    books.add(2)
    windows("anna", 87.2, 50.0)
    done = status(books.path, "--oneline")
    cost = (600 * Decimal("2.5") + 400 * Decimal("0.25") + 200 * 15) / 1_000_000 * 2
    assert done.out == f"today ${cost:.2f} · 5h:87%(2h1m) wk:50%(5d22h)\n"
    assert (done.code, done.err) == (0, "")
    assert status(books.path, "--oneline", "--ascii").out == done.out.replace("·", "|")
    assert as_a_process(books.path, "--oneline", PYTHONIOENCODING="utf-8") == done
    plain = as_a_process(books.path, "--oneline", PYTHONIOENCODING="ascii")
    assert plain.out == done.out.replace("·", "|")


@pytest.mark.slow
def test_a_line_names_the_fullest_of_several_accounts_and_what_has_no_price(
    books: Books, windows: Callable[..., None], status: Status
) -> None:
    books.add(3, model="nobody-knows-me")
    windows("anna", 10, 20)
    windows("ben", 5, 91)
    windows("carl", 100, 100)
    with books.engine.begin() as connection:
        changes.pause(connection, "carl", datetime.now(UTC))
    assert status(books.path, "--oneline").out == (
        "today $0.00 +3 unpriced · ben 5h:5%(2h1m) wk:91%(5d22h)\n"
    )
    assert status(books.path, "--oneline", "--account", "anna").out.endswith("· 5h:10%(2h1m) wk:20%(5d22h)\n")
    unknown = status(books.path, "--account", "nobody")
    assert unknown.code == 3
    assert "'nobody': no such account; there are: anna, ben, carl" in unknown.err


@pytest.mark.parametrize(
    ("short", "week", "code", "level"),
    [
        (79.9, 10, 0, "ok"),
        (80, 10, 1, "warn"),
        (10, 94, 1, "warn"),
        (95, 10, 2, "crit"),
        (10, 100, 2, "crit"),
    ],
)
@pytest.mark.slow
def test_thresholds_decide_on_the_exit_code(
    short: float,
    week: float,
    code: int,
    level: str,
    books: Books,
    windows: Callable[..., None],
    status: Status,
) -> None:
    windows("anna", short, week)
    done = status(books.path, "--warn", "80", "--crit", "95", "--json")
    assert (done.code, parsed(done.out)["level"]) == (code, level)
    assert status(books.path, "--json").code == 0


def test_a_format_of_ones_own(books: Books, windows: Callable[..., None], status: Status) -> None:
    books.add(2)
    books.fail(1)
    windows("anna", 87.2, 50.0)
    wanted = '{{"text": "{today_requests} {today_errors} {5h_used} {wk_reset} {5h_bar}", "class": "{level}"}}'
    done = status(books.path, "--format", wanted, "--warn", "80")
    assert json.loads(done.out) == {"text": "3 1 87% 5d22h ████████░░", "class": "warn"}
    assert done.code == 1
    every = status(books.path, "--format", " ".join(f"{name}={{{name}}}" for name in lines.FIELDS))
    assert every.code == 0
    assert [word.partition("=")[0] for word in every.out.split(" ") if "=" in word] == list(lines.FIELDS)
    refused = status(books.path, "--format", "{today_cost.__class__}")
    assert (refused.code, refused.out) == (3, "")
    assert "'{today_cost.__class__}' is not a field; allowed: hour_cost" in refused.err


@pytest.mark.slow
def test_one_line_says_what_the_json_says(told: Told, status: Status) -> None:
    for zone in ("UTC", "Asia/Kolkata", "America/St_Johns"):
        config = f'[console]\ntime_zone = "{zone}"'
        found = parsed(status(told.path, "--json", config=config).out)
        today = {period["name"]: period for period in found["periods"]}["today"]
        spent, unpriced = Decimal(str(today["cost_usd"])), today["unpriced_requests"]
        cost = "<$0.01" if 0 < spent < Decimal("0.005") else f"${spent:,.2f}"
        line = status(told.path, "--oneline", config=config).out
        assert line.startswith(f"today {cost}{f' +{unpriced} unpriced' if unpriced else ''} · ")
        fullest = max(found["accounts"], key=lambda one: max(w["used_percent"] for w in one["windows"]))
        used = [f"{window['used_percent']:.0f}%" for window in fullest["windows"]]
        assert re.search(rf"· {fullest['id']} 5h:{used[0]}\S* wk:{used[1]}", line)
        own = status(told.path, "--format", "{today_requests} {today_errors} {today_cost}", config=config).out
        assert own == f"{today['requests']} {today['errors']} {cost}\n"


@pytest.mark.slow
def test_a_table_fits_eighty_columns(told: Told, status: Status) -> None:
    done = status(told.path)
    shown = done.out.splitlines()
    assert max(map(len, shown)) <= 80
    assert [line[:10].strip() for line in shown[3:8]] == [
        *("last hour", "today", "this week", "this month"),
        "12 months",
    ]
    assert status(told.path, "--ascii").out.isascii()


@pytest.mark.slow
def test_names_cannot_play_tricks_on_the_terminal(
    books: Books, windows: Callable[..., None], status: Status
) -> None:
    windows("anna", 10, 20)
    with (
        closing(sqlite3.connect(books.path)) as connection,
        connection,
    ):  # a gateway names accounts as it likes
        connection.execute("UPDATE accounts SET id = ?", ("an\x1b[2Jna",))
        connection.execute("UPDATE usage_history SET account_id = ?", ("an\x1b[2Jna",))
    for shape in ([], ["--oneline"], ["--format", "{account}"], ["--json"]):
        assert "\x1b" not in status(books.path, *shape).out


def test_the_json_is_whole_on_an_output_that_is_not_utf8(
    books: Books, windows: Callable[..., None], status: Status
) -> None:
    windows("anna", 10, 20)
    with closing(sqlite3.connect(books.path)) as connection, connection:  # as a gateway names accounts
        connection.execute("UPDATE accounts SET id = ?", ("änna \U0001f600",))
    said = status(books.path, "--json").out
    found = json.loads(said)
    assert said.isascii() and found["accounts"][0]["id"] == "änna \U0001f600"
    hour = found["periods"][0]
    assert (hour["name"], hour["until"]) == ("hour", found["at"])


# What is wrong


def test_a_ledger_that_is_not_there(tmp_path: Path, status: Status) -> None:
    done = status(tmp_path / "none.db")
    assert (done.code, done.out) == (3, "")
    assert (
        done.err == f"status: no ledger at {tmp_path / 'none.db'} yet; the proxy creates it when it starts\n"
    )
    assert not (tmp_path / "none.db").exists()
    assert "no ledger at" in parsed(status(tmp_path / "none.db", "--json").out)["error"]


def test_a_file_without_tables(tmp_path: Path, status: Status) -> None:
    (tmp_path / "empty.db").touch()
    assert "is empty; the proxy creates its tables when it starts" in status(tmp_path / "empty.db").err


def test_a_ledger_without_requests(books: Books, status: Status) -> None:
    done = status(books.path)
    assert (done.code, "no requests yet" in done.out) == (0, True)


@pytest.mark.parametrize(
    ("version", "said"),
    [("9999", "has a newer schema"), ("0009", "has an older schema (0009")],
)
def test_a_ledger_of_another_version(version: str, said: str, books: Books, status: Status) -> None:
    with closing(sqlite3.connect(books.path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    done = status(books.path)
    assert (done.code, said in done.err, done.err.count("\n")) == (3, True, 1)


def test_a_ledger_that_is_being_converted(books: Books, status: Status) -> None:
    with closing(sqlite3.connect(books.path)) as connection, connection:
        connection.execute("CREATE TABLE request_logs_before (id INTEGER PRIMARY KEY)")
    assert "is being migrated" in status(books.path).err


def test_a_ledger_that_somebody_holds(books: Books, status: Status) -> None:
    books.engine.dispose()
    with closing(sqlite3.connect(books.path, isolation_level=None)) as holder:
        holder.execute("PRAGMA journal_mode=DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        done = status(books.path)
    assert (done.code, done.err.count("\n")) == (3, 1)
    assert "database is locked" in done.err


@pytest.mark.parametrize(
    "arguments",
    [["--warn", "101"], ["--watch", "0"], ["--json", "--oneline"], ["--nonsense"], ["--stay", "-1"]],
)
def test_a_wrong_command_is_no_full_window(arguments: list[str], books: Books, status: Status) -> None:
    assert status(books.path, *arguments).code == 3


# Again and again, and quickly


def test_watching_follows_and_ends_quietly(books: Books, tmp_path: Path) -> None:
    path = tmp_path / "watch.toml"
    path.write_text(f'[storage]\ndatabase_path = "{books.path}"\n')
    command = [sys.executable, "-m", "console", "status", "--config", str(path)]
    with subprocess.Popen(
        [*command, "--watch", "0.2", "--format", "{today_requests}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"]},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n"
        books.add(4, requested_at=datetime.now(UTC))
        for _ in range(50):
            assert select.select([process.stdout], [], [], 30)[0]
            if process.stdout.readline() == "4\n":
                break
        else:
            pytest.fail("the request that came was never counted")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_nothing_is_imported_that_it_does_not_need(books: Books) -> None:
    dear = {"aiohttp", "jinja2", "alembic", "textual", "psycopg", "argon2"}
    dear |= {"settings.model", "settings.rules", "sqlalchemy.dialects.postgresql"}
    code = (
        "import sys; from console.__main__ import main; main(['status', '--oneline']);"
        f"print(sorted({dear!r} & set(sys.modules)))"
    )
    environ = {"PATH": os.environ["PATH"], "CODEX_USAGE_DB_PATH": str(books.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_ledger_in_postgresql(postgres_url: URL, tmp_path: Path) -> None:
    engine = writer(postgres_url)
    migrate(engine)
    with engine.begin() as connection:
        record(connection, [EVENT])
    engine.dispose()
    url = postgres_url.set(drivername="postgresql").render_as_string(hide_password=False)
    path = tmp_path / "pg.toml"
    path.write_text(f'[storage]\ndatabase_url = "{url}"\n')
    command = [sys.executable, "-m", "console", "status", "--config", str(path), "--format", "{12m_requests}"]
    environ = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(tmp_path)}
    for _ in range(2):
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60)
        assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)
    assert not (tmp_path / "quotascope").exists(), "nothing stays beside a server"
