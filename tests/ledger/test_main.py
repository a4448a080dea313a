"""`python -m ledger accounts`, as a person uses it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ledger.accounts import changes as accounts
from ledger.accounts.configured import Description
from ledger.requests.writes import record_samples
from ledger.store import sqlite_url, writer
from ledger.values import UsageSample
from tests.ledger.conftest import Ask

ROOT = Path(__file__).parent.parent.parent


ADD = (
    "accounts",
    "add",
    "anna",
    "--credential",
    "env:ANNA_KEY",
    "--plan",
    "plus",
    "--email",
    "a@example.com",
)


def test_the_life_of_an_account(ask: Ask) -> None:
    def status() -> str:
        listed = ask("accounts", "list").out.splitlines()
        return listed[1].split()[7] if len(listed) > 1 else "none"

    assert ask(*ADD).out == "anna: added; running proxies follow within 2 s\n"
    assert status() == "active"
    for action, expected in (
        ("pause", "paused"),
        ("reauth", "paused"),
        ("resume", "active"),
        ("remove", "none"),
    ):
        done = ask("accounts", action, "anna")
        assert (done.code, done.err) == (0, "")
        assert status() == expected


def test_the_list_shows_what_is_known(ask: Ask) -> None:
    assert ask("accounts", "list").out.startswith("no accounts: the proxy forwards each caller's own")
    ask(*ADD)
    head, row = ask("accounts", "list").out.splitlines()
    assert head.split()[:4] == ["ID", "EMAIL", "PLAN", "POOL"]
    assert row.split() == ["anna", "a@example.com", "plus", "full", "-", "-", "env:ANNA_KEY", "active"]


@pytest.mark.slow
def test_resume_makes_an_account_usable_whose_week_is_full(ask: Ask, tmp_path: Path) -> None:
    ask(*ADD)
    now = datetime.now(UTC)
    full = UsageSample("anna", now, "secondary", 100.0, int(now.timestamp()) + 3_600, 10_080)
    engine = writer(sqlite_url(tmp_path / "usage.db"))
    with engine.begin() as connection:
        record_samples(connection, [full])
    engine.dispose()
    until = datetime.fromtimestamp(int(now.timestamp()) + 3_600, UTC)
    listed = ask("accounts", "list").out
    assert listed.rstrip().endswith(f"active, week full until {until:%Y-%m-%d %H:%M:%SZ}")
    assert ask("accounts", "resume", "anna").code == 0
    assert ask("accounts", "list").out.split()[-4:] == ["-", "-", "env:ANNA_KEY", "active"]


def test_the_history_is_the_latest_first(ask: Ask) -> None:
    ask(*ADD)
    ask("accounts", "add", "ben", "--credential", "env:BEN_KEY")
    ask("accounts", "pause", "anna")
    ask("accounts", "remove", "anna")

    def told(*words: str) -> list[list[str]]:
        return [line.split()[2:6] for line in ask("accounts", "history", *words).out.splitlines()[1:]]

    add, pause, remove = (
        ["anna", "add", "command", "-"],
        ["anna", "pause", "command", "active"],
        ["anna", "remove", "command", "paused"],
    )
    assert told() == [remove, pause, ["ben", "add", "command", "-"], add]
    assert told("anna") == [remove, pause, add]
    assert told("anna", "--most", "1") == [remove]


@pytest.mark.parametrize("words", [("list",), ("history",), ("history", "anna"), ("pause", "anna")])
def test_looking_makes_no_ledger(ask: Ask, tmp_path: Path, words: tuple[str, ...]) -> None:
    done = ask("accounts", *words)
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


class TestAccountsOfTheFile:
    """What stands in the configuration file is known before a proxy has ever started."""

    @pytest.fixture(autouse=True)
    def file(self, ask: Ask, tmp_path: Path) -> None:
        text = '[accounts.tom]\ncredential = "env:TOM_KEY"\nplan = "pro"\n'
        (tmp_path / "codex-usage.toml").write_text(text)

    @pytest.mark.slow
    def test_they_are_listed(self, ask: Ask, tmp_path: Path) -> None:
        (row,) = ask("accounts", "list").out.splitlines()[1:]
        assert row.split()[:1] + row.split()[2:4] == ["tom", "pro", "full"]
        assert row.endswith("env:TOM_KEY  pending: added when the proxy starts")
        assert not (tmp_path / "usage.db").exists()

    def test_they_are_listed_once(self, ask: Ask, tmp_path: Path) -> None:
        ask(*ADD)
        engine = writer(sqlite_url(tmp_path / "usage.db"))
        with engine.begin() as connection:
            tom = Description("tom", "env:TOM_KEY", plan="pro")
            accounts.synchronise(connection, [tom], datetime.now(UTC))
        engine.dispose()
        rows = [line.split() for line in ask("accounts", "list").out.splitlines()[1:]]
        assert [(row[0], row[-1]) for row in rows] == [("anna", "active"), ("tom", "active")]

    def test_none_is_added_under_the_same_id(self, ask: Ask, tmp_path: Path) -> None:
        """Else the next start of the proxy would be refused."""
        done = ask("accounts", "add", "tom", "--credential", "env:OTHER")
        assert (done.code, done.out) == (1, "")
        assert done.err == "ledger: account 'tom': it is defined in the configuration file\n"
        assert not (tmp_path / "usage.db").exists()

    @pytest.mark.parametrize("action", ["pause", "resume", "reauth", "remove"])
    def test_the_ledger_has_them_later(self, ask: Ask, action: str) -> None:
        done = ask("accounts", action, "tom")
        assert done.code == 1
        assert "configuration file; the proxy adds it when it starts" in done.err

    def test_a_secret_that_stands_there_is_not_shown(self, ask: Ask, tmp_path: Path) -> None:
        (tmp_path / "codex-usage.toml").write_text('[accounts.tom]\ncredential = "sk-hunter2"\n')
        done = ask("accounts", "list")
        assert done.code == 2
        assert "account 'tom': credential is not a reference" in done.err
        assert "hunter2" not in done.err + done.out


B = ("accounts", "add", "b", "--credential", "env:B")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("accounts", "pause", "nobody"), 1, "ledger: account 'nobody': no such account"),
        (("accounts", "history", "nobody"), 1, "ledger: account 'nobody': no such account"),
        (ADD, 1, "account 'anna': it already exists"),
        ((*B, "--plan", "gold"), 2, "unknown plan 'gold'"),
        ((*B, "--pool", "best"), 2, "accounts.b.pool = 'best'"),
        ((*B, "--upstream", "http://a..b"), 2, "accounts.b.upstream_base_url = 'http://a..b': allowed: http"),
        ((*B, "--upstream", "http://127.0.0.1:99999"), 2, "accounts.b.upstream_base_url"),
        ((*B, "--upstream", "http://[::1"), 2, "accounts.b.upstream_base_url"),
        ((*B, "--upstream", "https://u:hunter2@h"), 2, "without user name and password"),
        ((*B, "--email", "a\nb\x1b[31m"), 2, "account 'b': email: allowed: printable text"),
        (("accounts", "add", "b", "--credential", "sk-hunter2"), 2, "credential is not a reference"),
        (
            ("accounts", "add", "b", "--credential", "file:~nobody-at-all/key"),
            2,
            "the home of ~nobody-at-all",
        ),
        (("accounts", "add", "b"), 2, "--credential"),
        (("accounts", "history", "--most", "0"), 2, "'0': allowed: 1 to 1000000"),
        (("accounts", "list", "--config", "no-such.toml"), 2, "no-such.toml: no such file"),
    ],
)
@pytest.mark.slow
def test_bad_input_is_one_line_and_changes_nothing(
    ask: Ask, words: tuple[str, ...], code: int, says: str
) -> None:
    ask(*ADD)
    before = ask("accounts", "list").out
    done = ask(*words)
    assert done.code == code
    assert says in done.err.splitlines()[-1]
    assert "hunter2" not in done.err + done.out
    assert "Traceback" not in done.err
    assert ask("accounts", "list").out == before


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("file:key", "file:{here}/key"),
        ("file:../key", "file:{here}/../key"),
        ("codex:~/.codex/auth.json", "codex:{home}/.codex/auth.json"),
        ("codex:/srv/auth.json", "codex:/srv/auth.json"),
        ("env:KEY", "env:KEY"),
    ],
)
def test_a_path_means_the_same_file_to_every_proxy(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, kept: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    ask("accounts", "add", "b", "--credential", given)
    assert ask("accounts", "list").out.split()[-2] == kept.format(here=tmp_path, home="/home/me")


def test_no_secret_is_stored(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hunter2hunter2")
    ask("accounts", "add", "b", "--credential", "file:key")
    assert ask("accounts", "list").out.endswith(f"file:{tmp_path}/key  active\n")
    assert all(b"hunter2" not in path.read_bytes() for path in tmp_path.glob("usage.db*"))


@pytest.mark.parametrize("words", [("--help",), ("accounts", "--help"), ("accounts", "add", "--help")])
def test_help_says_what_to_do(ask: Ask, words: tuple[str, ...]) -> None:
    done = ask(*words)
    assert done.code == 0
    assert "credential" in done.out.lower()


def test_it_runs_as_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ledger", "accounts", "list"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("no accounts")
