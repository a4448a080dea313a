"""`python -m ledger accounts`, as a person uses it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import text

from ledger.__main__ import main
from ledger.store import reader, sqlite_url

ROOT = Path(__file__).parent.parent.parent


class Done(NamedTuple):
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command of `python -m ledger` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def ask(*words: str) -> Done:
        try:
            code = main(words, {})
        except SystemExit as end:
            code = int(end.code or 0)
        return Done(code, *capsys.readouterr())

    return ask


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


def test_the_life_of_an_account(ask: Command) -> None:
    def status() -> str:
        listed = ask("accounts", "list").stdout.splitlines()
        return listed[1].split()[4] if len(listed) > 1 else "none"

    assert ask(*ADD).stdout == "anna: added; running proxies follow within 2 s\n"
    assert status() == "active"
    for action, expected in (
        ("pause", "paused"),
        ("reauth", "paused"),
        ("resume", "active"),
        ("remove", "none"),
    ):
        done = ask("accounts", action, "anna")
        assert (done.returncode, done.stderr) == (0, "")
        assert status() == expected


def test_the_list_shows_what_is_known(ask: Command) -> None:
    assert ask("accounts", "list").stdout.startswith("no accounts: the proxy passes each caller's own")
    ask(*ADD)
    head, row = ask("accounts", "list").stdout.splitlines()
    assert head.split()[:5] == ["ID", "EMAIL", "PLAN", "POOL", "STATUS"]
    assert row.split() == ["anna", "a@example.com", "plus", "full", "active", "-", "-", "-", "env:ANNA_KEY"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("accounts", "pause", "nobody"), 2, "ledger: account 'nobody': there is none of this id"),
        (("accounts", "add", "b", "--credential", "env:B", "--plan", "gold"), 2, "unknown plan 'gold'"),
        (("accounts", "add", "b", "--credential", "sk-hunter2"), 2, "credential is not a reference"),
        (("accounts", "add", "b"), 2, "--credential"),
        (("accounts", "list", "--config", "no-such.toml"), 2, "no-such.toml: no such file"),
        (ADD, 1, "account 'anna': it is there already"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    ask: Command, words: tuple[str, ...], code: int, says: str
) -> None:
    ask(*ADD)
    before = ask("accounts", "list").stdout
    done = ask(*words)
    assert done.returncode == code
    assert says in done.stderr.splitlines()[-1]
    assert "hunter2" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert ask("accounts", "list").stdout == before


def test_no_secret_is_stored(ask: Command, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hunter2hunter2")
    ask("accounts", "add", "b", "--credential", "file:key")
    engine = reader(sqlite_url(tmp_path / "usage.db"))
    with engine.connect() as connection:
        found = connection.execute(text("SELECT credential FROM accounts WHERE id = 'b'")).scalar()
    engine.dispose()
    assert found == "file:key"
    assert all(b"hunter2" not in path.read_bytes() for path in tmp_path.glob("usage.db*"))


@pytest.mark.parametrize("words", [("--help",), ("accounts", "--help"), ("accounts", "add", "--help")])
def test_help_says_what_to_do(ask: Command, words: tuple[str, ...]) -> None:
    done = ask(*words)
    assert done.returncode == 0
    assert "credential" in done.stdout.lower()


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
