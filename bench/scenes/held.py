"""The exporter as it is, and beside it a list of how long each of its statements held the store.

    python -m bench.scenes.held REPORT ARGUMENTS OF THE EXPORTER

A statement that reads a SQLite file is a transaction by itself: from its start until its last row is
fetched, its owner cannot commit in a file with a rollback journal.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from exporter.__main__ import main

Held = list[tuple[float, float]]
"""When each statement ended, by the monotonic clock of this machine, and how many seconds it took."""

_held: Held = []


class _Timed(sqlite3.Cursor):
    """A cursor that times its statements."""

    _begun: float | None = None

    def execute(self, sql: str, parameters: Any = (), /) -> _Timed:
        self._begun = time.monotonic()
        return super().execute(sql, parameters)

    def fetchall(self) -> list[Any]:
        rows = super().fetchall()
        self._over()
        return rows

    def close(self) -> None:
        super().close()
        self._over()

    def _over(self) -> None:
        if self._begun is not None:
            now = time.monotonic()
            _held.append((now, now - self._begun))
            self._begun = None


def watch() -> Held:
    """Time every statement of every connection from now on; the list that grows with them."""

    @event.listens_for(Engine, "connect")
    def use_timed_cursors(connection: Any, _record: object) -> None:
        connection.cursor = partial(connection.cursor, _Timed)

    return _held


def read(report: Path) -> Held:
    """What an exporter that has ended has written."""
    return [(at, seconds) for at, seconds in json.loads(report.read_text(encoding="utf-8"))]


def run(arguments: Sequence[str]) -> int:
    """Run the exporter, and write the report when it ends."""
    watch()
    try:
        return main(arguments[1:])
    finally:
        Path(arguments[0]).write_text(json.dumps(_held), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
