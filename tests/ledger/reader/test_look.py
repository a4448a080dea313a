from __future__ import annotations

import os
from pathlib import Path

import pytest

from ledger.errors import StoreError
from ledger.reader.sqlite_file import BESIDE_ITS_OWNER, IMMUTABLE, ROLLBACK, Look, look, options, spoilt


def test_a_file_that_got_the_number_of_the_one_before_is_another_one(tmp_path: Path) -> None:
    """Many file systems give a number away again at once; a few tries find such a case."""
    path = tmp_path / "store.db"
    seen: dict[int, object] = {}
    for _ in range(50):
        path.write_bytes(b"as ever")
        number, identity = path.stat().st_ino, look(path).identity
        if number in seen:
            assert identity != seen[number]
            return
        seen[number] = identity
        path.unlink()
    pytest.skip("this file system does not give numbers away again")


def test_a_file_that_is_written_to_stays_the_same_and_looks_different(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"before")
    before = look(path)
    path.write_bytes(b"and after")
    after = look(path)
    assert before.identity == after.identity
    assert before != after
    assert spoilt(IMMUTABLE, before, after)
    assert not spoilt(ROLLBACK, before, after)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "store.db")
    with pytest.raises(OSError, match="it is not a regular file"):
        look(tmp_path / "store.db")


@pytest.mark.parametrize(
    ("wal_bytes", "shm", "in_wal_mode", "how"),
    [
        (None, False, False, ROLLBACK),
        (None, False, True, IMMUTABLE),
        (0, False, True, IMMUTABLE),
        (0, True, True, BESIDE_ITS_OWNER),
        (4_096, True, True, BESIDE_ITS_OWNER),
    ],
)
def test_what_lies_beside_it_decides_how_it_is_opened(
    wal_bytes: int | None, shm: bool, in_wal_mode: bool, how: str
) -> None:
    assert options(Look(1, 1, 1, wal_bytes, shm), in_wal_mode) == how


def test_a_wal_without_its_index_is_not_opened() -> None:
    with pytest.raises(StoreError, match="start the program that the store belongs to once"):
        options(Look(1, 1, 1, 4_096, False), in_wal_mode=True)
