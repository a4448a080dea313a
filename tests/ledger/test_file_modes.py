"""The ledger and what SQLite puts beside it are for their owner alone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from ledger import store
from ledger.errors import StoreError


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.usefixtures("umask")
def test_a_new_ledger_and_its_log_are_private(tmp_path: Path) -> None:
    engine = store.writer(store.sqlite_url(tmp_path / "usage.db"))
    store.migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("create table t (x)"))
    with engine.connect():
        assert modes(tmp_path) == {"usage.db": 0o600, "usage.db-wal": 0o600, "usage.db-shm": 0o600}
    engine.dispose()


def test_a_ledger_that_others_may_read_stays_so(tmp_path: Path) -> None:
    path = tmp_path / "usage.db"
    path.touch()
    path.chmod(0o640)
    engine = store.writer(store.sqlite_url(path))
    store.migrate(engine)
    with engine.connect():
        assert set(modes(tmp_path).values()) == {0o640}
    engine.dispose()


def test_a_folder_that_is_not_there_is_said_as_before(tmp_path: Path) -> None:
    engine = store.writer(store.sqlite_url(tmp_path / "nowhere" / "usage.db"))
    with pytest.raises(StoreError, match="unable to open database file"):
        store.migrate(engine)
