"""An invented history in a real ledger, with accounts whose windows are known."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from console.__main__ import main
from ledger.accounts import changes
from ledger.accounts.configured import Description
from ledger.pricing.files import current_book
from ledger.pricing.prices import PriceBook
from ledger.pricing.table import replace_prices
from ledger.schema import usage_history
from simulator.history.history import History, generate
from simulator.history.ledger import store
from simulator.history.plan import days
from tests.console.conftest import ROOT, Books
from tests.support.ledgers import migrated

PROMPT = "ready>"


@pytest.fixture(scope="session")
def book() -> PriceBook:
    """The prices that Quotascope brings."""
    return current_book({})


@dataclass(frozen=True, slots=True)
class Told:
    """A ledger that holds a history up to now."""

    path: Path
    history: History
    now: datetime


@pytest.fixture(scope="session")
def told(book: PriceBook, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Forty days of traffic that end now, read by tests that change nothing."""
    now, path = datetime.now(UTC), tmp_path_factory.mktemp("history") / "usage.db"
    plan = days(date.fromordinal(now.toordinal() - 39), 40, requests_per_day=40)
    history = generate(plan, book)
    past = replace(history, events=tuple(e for e in history.events if e.requested_at < now))
    engine = migrated(path)
    with engine.begin() as connection:
        replace_prices(connection, book.prices)
    store(engine, past)
    engine.dispose()
    return Told(path, past, now)


@pytest.fixture
def windows(books: Books) -> Callable[..., None]:
    """Says how far an account's windows are used, as a provider does; the account is added."""

    def say(name: str, short: float, week: float, *, now: datetime | None = None) -> None:
        now = now or datetime.now(UTC)
        account = Description(name, "env:KEY", plan="plus")
        with books.engine.begin() as connection:
            changes.add(connection, account, now - timedelta(days=9))
            for window, used, minutes, ahead in (
                ("primary", short, 300, timedelta(hours=2, minutes=1, seconds=30)),
                ("secondary", week, 10_080, timedelta(days=5, hours=22, minutes=30)),
            ):
                values = {"account_id": name, "recorded_at": now, "window": window, "used_percent": used}
                reset = int((now + ahead).timestamp())
                row = {**values, "reset_at": reset, "window_minutes": minutes}
                connection.execute(insert(usage_history).values(**row))

    return say


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs `python -m console status` on a ledger, in a zone in which it is noon unless told otherwise: so a
    minute ago is today."""
    hours = datetime.now(UTC).hour - 12
    noon = f'[console]\ntime_zone = "Etc/GMT{hours:+d}"'

    def run(path: Path, *arguments: str, config: str = noon) -> Done:
        file = tmp_path / "status.toml"
        file.write_text(f'[storage]\ndatabase_path = "{path}"\n{config}\n')
        try:
            code = main(["status", "--config", str(file), *arguments], {})
        except SystemExit as end:
            code = int(end.code or 0)
        return Done(code, *capsys.readouterr())

    return run


def as_a_process(path: Path, *arguments: str, **environ: str) -> Done:
    """The same as its users run it."""
    done = subprocess.run(
        [sys.executable, "-m", "console", "status", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "CODEX_USAGE_DB_PATH": str(path), **environ},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True, slots=True)
class Tmux:
    """A tmux server of its own, with one window that runs a shell."""

    program: str
    socket: Path

    def __call__(self, *words: str) -> str:
        command = [self.program, "-S", str(self.socket), "-f", "/dev/null", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=30, cwd=ROOT, env=self._environ()
        )
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def screen(self) -> str:
        return self("capture-pane", "-p")

    def keys(self, *names: str) -> None:
        self("send-keys", *names)

    def until(self, *wanted: str) -> str:
        """Wait until all of it is on the screen."""
        deadline = time.monotonic() + 40
        while not all(one in (shown := self.screen()) for one in wanted):
            assert time.monotonic() < deadline, f"{wanted}:\n{shown}"
            time.sleep(0.05)
        return shown

    @staticmethod
    def _environ() -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {"PATH": path, "LANG": "C.UTF-8", "TERM": "xterm-256color"}


@pytest.fixture
def tmux(binary: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tmux]:
    """A terminal of 80 by 24 with a shell in it."""
    terminal = Tmux(binary("tmux"), tmp_path_factory.mktemp("tmux") / "socket")
    terminal("new-session", "-d", "-x", "80", "-y", "24", f"env PS1='{PROMPT}' sh")
    terminal.until(PROMPT)
    yield terminal
    terminal("kill-server")
