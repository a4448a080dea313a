"""A status line that is asked again is answered without what takes long to import, and by the ledger."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from console.__main__ import main
from tests.console.conftest import ROOT, Books
from tests.console.terminal.conftest import Done

DEAR = frozenset({"sqlalchemy", "pydantic", "numpy", "asyncio", "argparse", "decimal", "ledger", "settings"})
"""What a line that was asked before does without: these take nearly all of the time."""


@dataclass(frozen=True, slots=True)
class Asked:
    done: Done
    imported: frozenset[str]

    @property
    def out(self) -> str:
        return self.done.out

    @property
    def quickly(self) -> bool:
        return not DEAR & {name.partition(".")[0] for name in self.imported}


@dataclass
class Line:
    """One command line that is given again and again, as a prompt does."""

    path: Path
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __call__(self, *arguments: str) -> Asked:
        """As a prompt gives it: a process, which says what it imports."""
        environ = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(self.folder), **self.environ}
        command = [sys.executable, "-X", "importtime", "-m", "console", "status", "--config", str(self.path)]
        stay = () if "--stay" in arguments else ("--stay", "300")
        done = subprocess.run(
            [*command, *stay, *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120
        )
        imported = re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE)
        said = re.sub(r"^import time:.*\n", "", done.stderr, flags=re.MULTILINE)
        return Asked(Done(done.returncode, done.stdout, said), frozenset(imported))

    def stays(self) -> list[int]:
        """The processes that have stayed."""
        return [pid for place in self.folder.glob("quotascope/status-*") if (pid := _listener(place))]


def _listener(place: Path) -> int | None:
    """Who listens there; at first it is still known by the number of the process that it was."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with closing(socket.socket(socket.AF_UNIX)) as connection:
                connection.connect(str(place))
                told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            (pid, _, _) = struct.unpack("3i", told)
            os.kill(pid, 0)
            return int(pid)
        except ProcessLookupError:
            time.sleep(0.01)
        except OSError:
            return None
    raise TimeoutError(place)


@pytest.fixture
def line(books: Books, tmp_path: Path) -> Iterator[Line]:
    config = tmp_path / "usage.toml"
    config.write_text(f'[storage]\ndatabase_path = "{books.path}"\n')
    with TemporaryDirectory(prefix="stay-") as folder:  # short: a socket's path has at most 107 bytes
        made = Line(config, Path(folder))
        yield made
        for pid in made.stays():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def whole(line: Line, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """The same command, answered as any other."""

    def run(*arguments: str) -> Done:
        code = main(["status", "--config", str(line.path), *arguments], line.environ)
        return Done(code, *capsys.readouterr())

    return run


def _ready(line: Line, *arguments: str) -> None:
    """Given twice: the next one is answered quickly."""
    assert not line(*arguments).quickly
    assert line.stays() == [], "one that is given once leaves nothing behind"
    assert not line(*arguments).quickly
    assert len(line.stays()) == 1


def test_the_numbers_are_those_of_the_ledger_at_that_moment(
    line: Line, books: Books, windows: Callable[..., None], whole: Callable[..., Done]
) -> None:
    command = ("--json", "--warn", "80", "--crit", "95")
    books.add(2)
    windows("anna", 50, 20)
    _ready(line, *command)
    for used, code in ((70, 0), (85, 1), (97, 2)):
        books.add(3)
        books.fail(1)
        windows(f"ben{used}", used, 20)
        quick, true = line(*command), whole(*command)
        assert quick.quickly, sorted(quick.imported)
        assert (quick.done.code, true.code, quick.done.err) == (code, code, "")
        assert _settled(quick.out) == _settled(true.out)
    assert json.loads(quick.out)["periods"][-1]["requests"] == 2 + 3 * 4


def _settled(text: str) -> Any:
    """Without what passes with time: two processes do not ask at the same moment."""
    found = json.loads(text)
    passing = ("at", "resets_in_seconds", "empty_at", "left_percent_at_reset")
    for value in (found, *(window for account in found["accounts"] for window in account["windows"])):
        for name in passing:
            value.pop(name, None)
    for name in ("since", "until"):
        found["periods"][0].pop(name)
    return found


def test_every_command_line_and_environment_has_its_own_answer(
    line: Line, books: Books, tmp_path: Path
) -> None:
    books.add(2)
    _ready(line, "--format", "{12m_requests}")
    assert line("--format", "{12m_errors}").out == "0\n"
    other = _copy(books, tmp_path / "other.db")
    books.add(1)
    line.environ["CODEX_USAGE_DB_PATH"] = str(other)
    assert line("--format", "{12m_requests}").out == "2\n"
    line.environ.clear()
    again = line("--format", "{12m_requests}")
    assert (again.quickly, again.out) == (True, "3\n")


def _copy(books: Books, path: Path) -> Path:
    with closing(sqlite3.connect(books.path)) as connection:
        connection.execute("VACUUM INTO ?", (str(path),))
    return path


def _until_none_stays(line: Line) -> None:
    """It ends a moment after the command that it did not answer."""
    deadline = time.monotonic() + 30
    while line.stays():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_wrong_is_said_by_a_process_that_has_just_started(
    line: Line, books: Books, whole: Callable[..., Done]
) -> None:
    configured = line.path.read_text()
    (schema,) = _do(books, "SELECT version_num FROM alembic_version")
    wrongs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "unknown key": (
            lambda: line.path.write_text(configured + "nonsense = 1\n"),
            lambda: line.path.write_text(configured),
        ),
        "has a newer schema (9999": (
            lambda: _do(books, "UPDATE alembic_version SET version_num = '9999'"),
            lambda: _do(books, f"UPDATE alembic_version SET version_num = '{schema}'"),
        ),
        "is being migrated": (
            lambda: _do(books, "CREATE TABLE request_logs_before (id INTEGER)"),
            lambda: _do(books, "DROP TABLE request_logs_before"),
        ),
        "no ledger at": (
            lambda: books.path.rename(books.path.with_suffix(".away")),
            lambda: books.path.with_suffix(".away").rename(books.path),
        ),
    }
    _ready(line, "--oneline")
    books.engine.dispose()
    for said, (broken, mended) in wrongs.items():
        broken()
        again, true = line("--oneline"), whole("--oneline")
        assert again.done == true, said
        assert (true.code, said in true.err, true.err.count("\n")) == (3, True, 1), true.err
        _until_none_stays(line)
        mended()
        assert line("--oneline").done.code == 0
        assert len(line.stays()) == 1, said


def _do(books: Books, statement: str) -> tuple[Any, ...]:
    with closing(sqlite3.connect(books.path)) as connection, connection:
        return tuple(connection.execute(statement).fetchone() or ())


def test_a_ledger_that_somebody_holds_is_locked_for_who_asks_again_too(line: Line, books: Books) -> None:
    _ready(line, "--oneline")
    books.engine.dispose()
    with closing(sqlite3.connect(books.path, isolation_level=None)) as holder:
        holder.execute("PRAGMA journal_mode=DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        locked = line("--oneline").done
    assert (locked.code, locked.out, locked.err.count("\n")) == (3, "", 1)
    assert "database is locked" in locked.err


def test_a_ledger_that_was_replaced_is_read_from_the_start(line: Line, books: Books, tmp_path: Path) -> None:
    books.add(2)
    other = _copy(books, tmp_path / "other.db")
    with closing(sqlite3.connect(other)) as connection, connection:  # what marks a change is the same
        connection.execute("UPDATE daily_stats SET requests = requests + 5")
        connection.execute("UPDATE request_hourly SET requests = requests + 5")
    _ready(line, "--format", "{12m_requests}")
    books.engine.dispose()
    for name in ("usage.db-wal", "usage.db-shm"):
        books.path.with_name(name).unlink(missing_ok=True)
    shutil.move(other, books.path)
    again = line("--format", "{12m_requests}")
    assert (again.out, again.quickly) == ("7\n", False)


def test_nothing_stays_unless_it_is_asked_for(line: Line) -> None:
    for _ in range(3):
        assert not line("--oneline", "--stay", "0").quickly
    assert not (line.folder / "quotascope").exists()


def test_nothing_stays_where_others_could_ask_nor_where_nobody_does(line: Line) -> None:
    folder = line.folder / "quotascope"
    folder.mkdir()
    folder.chmod(0o755)
    for _ in range(2):
        assert not line("--oneline").quickly
    assert line.stays() == []
    folder.chmod(0o700)
    line("--oneline", "--stay", "4")
    (asked,) = folder.iterdir()
    os.utime(
        asked, (time.time() + 3600, time.time() + 3600)
    )  # however slow the machine is, it is not long ago
    line("--oneline", "--stay", "4")
    (pid,) = line.stays()
    process = os.pidfd_open(pid)
    try:
        assert select.select([process], [], [], 60)[0]
    finally:
        os.close(process)
    assert list(folder.iterdir()) == []
