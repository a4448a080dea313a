"""Counted series into the data directory of a Prometheus, by promtool."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from simulator.errors import OutputError
from simulator.history.counting import Counted
from simulator.history.openmetrics import text

BLOCK_HOURS = 18
"""Length of a block. promtool reads its file once for every block, so each file covers one alone."""


def backfill(counted: Counted, data_dir: Path, promtool: str = "promtool") -> None:
    """Create blocks; the Prometheus may be started on the directory afterwards.

    Args:
        data_dir: what `--storage.tsdb.path` will name; it is made where it is missing.
    Raises: OutputError where promtool is missing or refuses.
    """
    with TemporaryDirectory(prefix="openmetrics-") as folder:
        file = Path(folder, "samples.txt")
        for ticks in blocks(counted):
            with file.open("w", encoding="utf-8") as out:
                out.writelines(text(counted, ticks))
            _create_blocks(promtool, file, data_dir)


def blocks(counted: Counted) -> Iterator[range]:
    """The ticks of each block, cut where promtool cuts: at multiples of a block's length since 1970."""
    scrapes = counted.scrapes
    seconds = BLOCK_HOURS * 3_600
    first = 0
    for tick in range(scrapes.count):
        if scrapes.at(tick).timestamp() // seconds != scrapes.at(first).timestamp() // seconds:
            yield range(first, tick)
            first = tick
    yield range(first, scrapes.count)


def _create_blocks(promtool: str, file: Path, data_dir: Path) -> None:
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    command += [f"--max-block-duration={BLOCK_HOURS}h", str(file), str(data_dir)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise OutputError(f"cannot run {promtool}: {error.strerror}; apt-get install prometheus") from error
    if done.returncode:
        raise OutputError(f"promtool refuses the samples: {' '.join(done.stderr.split())[:300]}")
