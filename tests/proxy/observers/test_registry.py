"""The files in which workers sum their metrics."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.observers.registry import FIRST_BYTES, ReservedFile

NAME = "a name of a series with all of its labels: {}".ljust(400, "x")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[ReservedFile]:
    made = ReservedFile(str(tmp_path / "counter_1.db"))
    yield made
    made.close()  # type: ignore[no-untyped-call]


def fill(file: ReservedFile, names: range) -> None:
    for number in names:
        file.write_value(NAME.format(number), number, 0.0)  # type: ignore[no-untyped-call]


def test_they_have_their_disk_space(file: ReservedFile, tmp_path: Path) -> None:
    """What has none ends the process that writes to it."""
    for names in (range(1), range(1, 1_000)):
        fill(file, names)
        found = (tmp_path / "counter_1.db").stat()
        assert found.st_blocks * 512 >= found.st_size >= FIRST_BYTES


def test_on_a_full_disk_there_are_no_new_series_and_the_others_go_on(
    file: ReservedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    fill(file, range(10))
    with monkeypatch.context() as disk:
        disk.setattr(os, "posix_fallocate", full)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                fill(file, range(10, 1_000))
        fill(file, range(10))
    fill(file, range(1_000))
    assert [file.read_value(NAME.format(n))[0] for n in (3, 999)] == [3, 999]  # type: ignore[no-untyped-call]
