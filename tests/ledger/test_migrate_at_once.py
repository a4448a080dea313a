"""Several processes that start on one empty ledger."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import URL

from ledger.store import migrate, writer

ROOT = Path(__file__).parents[2]
PROCESSES = 6
MIGRATE = """
import sys
from ledger.store import migrate, parse_url, writer
engine = writer(parse_url(sys.argv[1]), **({"busy_timeout_seconds": 60} if "sqlite" in sys.argv[1] else {}))
print("ready", flush=True)
sys.stdin.readline()
migrate(engine)
"""


def test_one_migrates_and_the_others_wait(url: URL) -> None:
    command = [sys.executable, "-c", MIGRATE, url.render_as_string(hide_password=False)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, cwd=ROOT, text=True, **pipes) for _ in range(PROCESSES)]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    errors = [process.communicate(timeout=90)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES, errors
    engine = writer(url)
    migrate(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar() == 1
    engine.dispose()
