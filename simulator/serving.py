"""A Prometheus with days of invented history, for as long as one command runs."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from ledger.pricing.files import book, load_seed
from simulator.errors import OutputError
from simulator.history.counting import Counted
from simulator.history.exporting import Exporter
from simulator.history.fleet import FLEET, scaled
from simulator.history.history import generate
from simulator.history.openmetrics import text
from simulator.history.plan import Plan
from simulator.history.scrapes import Scrapes
from simulator.history.seeded import everything, record

BLOCK_HOURS = 18
"""Length of a block. promtool reads its file once for every block, so each file covers one alone."""


def backfill(counted: Counted, data_dir: Path, promtool: str = "promtool", hours: int = BLOCK_HOURS) -> None:
    """Create blocks; the Prometheus may be started on the directory afterwards.

    Args:
        data_dir: what `--storage.tsdb.path` will name; it is made where it is missing.
        hours: length of a block. Of few series longer ones are made in fewer runs of promtool.
    Raises: OutputError where promtool is missing or refuses.
    """
    with TemporaryDirectory(prefix="openmetrics-") as folder:
        file = Path(folder, "samples.txt")
        for ticks in blocks(counted, hours):
            with file.open("w", encoding="utf-8") as out:
                out.writelines(text(counted, ticks))
            _create_blocks(promtool, file, data_dir, hours)


def blocks(counted: Counted, hours: int = BLOCK_HOURS) -> Iterator[range]:
    """The ticks of each block, cut where promtool cuts: at multiples of a block's length since 1970."""
    scrapes = counted.scrapes
    seconds = hours * 3_600
    first = 0
    for tick in range(scrapes.count):
        if scrapes.at(tick).timestamp() // seconds != scrapes.at(first).timestamp() // seconds:
            yield range(first, tick)
            first = tick
    yield range(first, scrapes.count)


def _create_blocks(promtool: str, file: Path, data_dir: Path, hours: int) -> None:
    command = [promtool, "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
    command += [f"--max-block-duration={hours}h", str(file), str(data_dir)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise OutputError(f"cannot run {promtool}: {error.strerror}; apt-get install prometheus") from error
    if done.returncode:
        raise OutputError(f"promtool refuses the samples: {' '.join(done.stderr.split())[:300]}")


BUSY = 8_000
"""Requests a day: enough for smooth lines."""

EXPORTER = Exporter(suppressed={"acc-eve": "mid_cycle_jump"})


def run_seeded(command: Sequence[str], days: int, now: datetime | None) -> int:
    """Run a command; `{prometheus}` and `{now}` in its arguments become the URL, and the moment at which the
    history ends.

    Returns: its exit code.
    Raises: OutputError where Prometheus or promtool is missing.
    """
    end = (now or datetime.now(UTC)).replace(microsecond=0)
    with seeded(end, days) as url:
        filled = [part.replace("{prometheus}", url).replace("{now}", end.isoformat()) for part in command]
        return subprocess.run(filled, check=False).returncode


@contextmanager
def seeded(end: datetime, days: int) -> Iterator[str]:
    """The URL of the Prometheus.

    Raises: OutputError.
    """
    start = end.replace(hour=0, minute=0, second=17) - timedelta(days=days)
    fleet = scaled(FLEET, BUSY)
    prices = book(load_seed())
    history = generate(Plan(start.replace(second=0), end, BUSY, accounts=fleet), prices)
    scrapes = Scrapes(start, end, 120, restarts=(end - timedelta(hours=9, minutes=7),))
    with TemporaryDirectory(prefix="seeded-") as folder:
        data = Path(folder, "data")
        for counted in everything(history, scrapes, prices, EXPORTER):
            backfill(counted, data)
        with _prometheus(data, Path(folder)) as url:
            record("promtool", url, data, Path(folder), start, end)
        with _prometheus(data, Path(folder)) as url:
            yield url


@contextmanager
def _prometheus(data: Path, folder: Path) -> Iterator[str]:
    config = folder / "prometheus.yml"
    config.touch()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={data}"]
    command += [f"--web.listen-address={address}", "--storage.tsdb.retention.time=100y"]
    try:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError as error:
        raise OutputError(f"cannot run prometheus: {error.strerror}; apt-get install prometheus") from error
    try:
        _wait(f"http://{address}/-/ready", process)
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
        if process.poll() is not None:
            break
    raise OutputError("the Prometheus with the invented history does not start")
