"""The outbox: PostgreSQL is away while events of ten minutes at 500 a second come, then it comes back."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic, perf_counter, process_time, sleep

from msgspec.structs import replace
from sqlalchemy import Engine, make_url, text

from bench.scenes.ledger_store import batches
from ledger import store
from ledger.values import RequestEvent
from proxy.observers import messages
from proxy.observers.messages import Batch, Task
from proxy.writer import Writer

EVENTS = 10 * 60 * 500
AT_ONCE = 200
"""Events of one batch: what a proxy at 500 a second sends at once."""

SPACING = timedelta(seconds=1 / 500)
WANTED = "< 120 s"


@contextmanager
def server() -> Iterator[tuple[str, list[str]]]:
    """A PostgreSQL that is made but not started: its URL, and the command that starts and stops it."""
    folder = Path(mkdtemp(prefix="bench-pg-"))
    as_user = []
    if os.geteuid() == 0:  # it refuses to run as root
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
        shutil.chown(folder, user)
        as_user = ["setpriv", f"--reuid={user}", "--clear-groups"]
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([*map(str, places), os.environ["PATH"]])
    data = str(folder / "data")
    try:
        initdb, pg_ctl = (str(shutil.which(name, path=path)) for name in ("initdb", "pg_ctl"))
        made = [*as_user, initdb, "-D", data, "-U", "ledger", "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder)
        options = f"-k {folder} -c listen_addresses="
        yield (
            f"postgresql+psycopg://ledger@/postgres?host={folder}",
            [*as_user, pg_ctl, "-D", data, "-s", "-w", "-l", str(folder / "log"), "-o", options],
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(events: int = EVENTS) -> list[tuple[str, str, str]]:
    """What was measured, the figure, and what is wanted."""
    with server() as (url, control):
        subprocess.run([*control, "start"], check=True, stdout=subprocess.DEVNULL)
        with closing_engine(url) as engine:
            store.migrate(engine)
        subprocess.run([*control, "stop", "-m", "immediate"], check=True)
        outbox = Path(mkdtemp(prefix="bench-outbox-")) / "outbox.db"
        writer = Writer(Task(url, 7, str(outbox), 10 * 2**30))
        try:
            began, worst = perf_counter(), 0.0
            for batch in _in_batches(events):
                items = [messages.encoded(event) for event in batch]
                asked = perf_counter()
                outcome = writer(Batch("events", len(items), False, None), messages.packed(items))
                worst = max(worst, perf_counter() - asked)
                assert outcome.unavailable is None, outcome.unavailable
            kept, size = perf_counter() - began, outbox.stat().st_size
            subprocess.run([*control, "start"], check=True, stdout=subprocess.DEVNULL)
            began, own = monotonic(), process_time()
            with closing_engine(url) as engine, engine.connect() as connection:
                count = text("SELECT count(*) FROM request_rows")
                while (stored := connection.execute(count).scalar_one()) < events:
                    connection.rollback()
                    sleep(0.2)
            caught_up, own = monotonic() - began, process_time() - own
            theirs = _cpu_seconds(Path(control[control.index("-D") + 1], "postmaster.pid"))
        finally:
            writer.close()
            subprocess.run([*control, "stop", "-m", "immediate"], check=False)
            shutil.rmtree(outbox.parent, ignore_errors=True)
    return [
        ("events while the server was away", f"{events:,} in {kept:.0f} s", "500 a second for 600 s"),
        ("slowest batch of 200 into the outbox", f"{worst * 1_000:.1f} ms", "-"),
        ("outbox on the disk", f"{size / events:.0f} bytes an event", "-"),
        ("stored in the end", f"{stored:,}", f"{events:,}"),
        ("caught up after", f"{caught_up:.0f} s, {events / caught_up:,.0f} events/s", WANTED),
        ("shipped, by CPU of the writer", f"{events / own:,.0f} events a CPU second", "> 20,000"),
        ("stored, by CPU of the server", f"{events / theirs:,.0f} events a CPU second", "-"),
    ]


def _cpu_seconds(pid_file: Path) -> float:
    """What a PostgreSQL has taken since it was started, with the processes that serve it."""
    server, ticks = pid_file.read_text().partition("\n")[0], 0
    for process in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            numbers = process.read_text().rpartition(")")[2].split()
            if numbers[1] == server or process.parent.name == server:
                ticks += sum(map(int, numbers[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _in_batches(events: int) -> Iterator[list[RequestEvent]]:
    """The invented requests, as if they all came within ten minutes."""
    began, number = datetime.now(UTC), 0
    for many in batches(events):
        now = [replace(e, requested_at=began + (number + i) * SPACING) for i, e in enumerate(many)]
        number += len(many)
        for start in range(0, len(now), AT_ONCE):
            yield now[start : start + AT_ONCE]


@contextmanager
def closing_engine(url: str) -> Iterator[Engine]:
    engine = store.writer(make_url(url))
    try:
        yield engine
    finally:
        engine.dispose()


def table(found: list[tuple[str, str, str]]) -> str:
    lines = ["| outbox | measured | wanted |", "|---|--:|--:|"]
    return "\n".join([*lines, *(f"| {what} | {figure} | {wanted} |" for what, figure, wanted in found)])
