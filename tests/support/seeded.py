"""A Prometheus with days of invented history, in which much goes wrong: for tests, and for the pictures of
the dashboards.

    python -m tests.support.seeded [--days N] [--until TIME] -- COMMAND

`{prometheus}` in the command becomes the URL, `{now}` the moment of the last scrape.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

from ledger.pricing.files import book, load_seed
from ledger.pricing.prices import PriceBook
from metrics import collector, proxy
from prometheus.build import RECORDING_FILE, files, write
from prometheus.config import RuleConfig
from prometheus.scrape import Targets
from simulator.arguments import moment
from simulator.errors import OutputError
from simulator.history.counting import COUNTED, Counted, Key, Series, count
from simulator.history.exporting import Exporter, export
from simulator.history.fleet import FLEET, scaled
from simulator.history.history import History, generate
from simulator.history.openmetrics import text
from simulator.history.plan import Plan
from simulator.history.scrapes import Scrapes
from simulator.history.seeded import EXPORTER_ADDRESS, ROUTING, held, of_prometheus, steps

HISTOGRAMS = (proxy.LATENCY, proxy.TIME_TO_FIRST_TOKEN, proxy.HTTP_DURATION)
COLLECTOR_ADDRESS = "127.0.0.1:8790"
RECORDED_SECONDS = 162 * 3_600

LOST = 7
"""Requests that the buffer drops."""

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


def everything(history: History, scrapes: Scrapes, book: PriceBook, exporter: Exporter) -> Iterator[Counted]:
    """All that was scraped. Histograms, which are most of the series, and what the services say of
    themselves begin a day and an hour before the end."""
    recent = replace(
        scrapes, start=max(scrapes.start, scrapes.at(scrapes.count - 1) - timedelta(hours=25)), restarts=()
    )
    sums = tuple(f for f in COUNTED if f.kind == "counter" and f not in (*ROUTING, proxy.BUFFER_DROPPED))
    yield count(history.events, scrapes, book, sums)
    yield count(history.events, recent, book, HISTOGRAMS)
    yield count(history.events, scrapes, book, ROUTING, steps)
    yield count(history.events, recent, book, (proxy.LB_TIER_SCORE,), steps)
    yield of_the_process(recent)
    told = replace(scrapes, job="quotascope-exporter", instance=EXPORTER_ADDRESS, restarts=())
    yield of_prometheus(recent)
    yield of_prometheus(told, begin=scrapes.count - 4 * recent.count // 5)
    yield export(history, told, book, exporter)
    collected = replace(recent, job="quotascope-collector", instance=COLLECTOR_ADDRESS)
    yield of_prometheus(collected)
    yield of_the_collector(collected)


def of_the_process(scrapes: Scrapes) -> Counted:
    """What the proxy says of itself: for an hour its buffer fills, because the ledger cannot be written."""
    begin, hour = scrapes.count * 2 // 5, 3_600 // scrapes.interval_seconds
    read = [Decimal(int(scrapes.at(tick).timestamp()) - 4) for tick in range(scrapes.count)]
    series: dict[Key, Series] = {
        (proxy.BUFFER_SIZE.name, ()): held((0, 2), (begin, 500), (begin + hour, 0)),
        (proxy.BUFFER_CAPACITY.name, ()): held((0, 500)),
        (proxy.BUFFER_DROPPED.name, ()): held((0, 0), (begin + 10, LOST)),
        (proxy.LB_UPDATED_AT.name, ()): Series(list(range(scrapes.count)), read),
    }
    families = (proxy.BUFFER_SIZE, proxy.BUFFER_CAPACITY, proxy.BUFFER_DROPPED, proxy.LB_UPDATED_AT)
    return Counted(scrapes, families, series)


def of_the_collector(scrapes: Scrapes) -> Counted:
    """What a collector says of one gateway: an event at each scrape, and once the gateway was restarted."""
    ticks, gateway = list(range(scrapes.count)), ("cpa",)
    begin, hour = scrapes.count * 2 // 5, 3_600 // scrapes.interval_seconds
    restart = (*gateway, "restart")
    series: dict[Key, Series] = {
        (collector.EVENTS.name, (*gateway, "subscribe")): Series(ticks, [Decimal(tick) for tick in ticks]),
        (collector.PENDING.name, ()): held((0, 0), (begin, 40), (begin + hour, 0)),
        (collector.UNDECODABLE.name, gateway): held((0, 0), (begin, 1)),
        (collector.CONNECTED.name, gateway): held((0, 1), (begin, 0), (begin + 1, 1)),
        (collector.GAPS.name, restart): held((0, 0), (begin + 1, 1)),
        (collector.GAP_SECONDS.name, restart): held((0, 0), (begin + 1, 12)),
        (collector.LAST_EVENT.name, gateway): Series(
            ticks, [Decimal(int(scrapes.at(tick).timestamp()) - 2) for tick in ticks]
        ),
    }
    return Counted(scrapes, collector.OWN, series)


def record(promtool: str, url: str, data: Path, folder: Path, start: datetime, end: datetime) -> None:
    """Evaluate the recording rules over a part of the history. A Prometheus sees new blocks at its start.

    Args:
        url: of a Prometheus on the data directory.
        folder: where the rule file may be written.
    Raises: OutputError where promtool is missing or refuses.
    """
    write(files(RuleConfig(), Targets("127.0.0.1:8787", EXPORTER_ADDRESS)), folder)
    command = [promtool, "tsdb", "create-blocks-from", "rules", f"--url={url}", f"--output-dir={data}"]
    # With its default of two hours it would write a block for every rule and two hours. Prometheus answers
    # with 11,000 points at most: a block may span a week of minutes.
    # It gives up on a rule that is not evaluated in what is left of the first block, so that begins whole.
    first = datetime.fromtimestamp(start.timestamp() // RECORDED_SECONDS * RECORDED_SECONDS, UTC)
    command += [f"--start={first.isoformat()}", f"--end={end.isoformat()}"]
    command += [f"--max-block-duration={RECORDED_SECONDS // 3_600}h"]
    try:
        done = subprocess.run([*command, str(folder / RECORDING_FILE)], capture_output=True, text=True)
    except OSError as error:
        raise OutputError(f"cannot run {promtool}: {error.strerror}; apt-get install prometheus") from error
    if done.returncode:
        raise OutputError(f"promtool cannot evaluate the rules: {' '.join(done.stderr.split())[:300]}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.seeded")
    parser.add_argument("--days", type=int, default=15, help="days of history; default 15")
    parser.add_argument("--until", type=moment, help="when it ends; default: now")
    parser.add_argument("run", nargs="+", metavar="COMMAND")
    asked = parser.parse_args(arguments)
    try:
        return run_seeded(asked.run, asked.days, asked.until)
    except OutputError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
