"""A Prometheus of one's own: the binaries, the backfill and the server."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from run.program import Program

BLOCK_HOURS = 162
"""The longest blocks for which Prometheus answers with a point each minute."""

INSTALL = "no Prometheus here; `apt-get install prometheus` (or prometheus and promtool in PATH) adds one"


@dataclass(frozen=True, slots=True)
class Prometheus:
    server: str
    promtool: str


def find(path: str | None) -> Prometheus | None:
    """The Prometheus in PATH; None when one of its two programs is missing."""
    server, promtool = (shutil.which(name, path=path) for name in ("prometheus", "promtool"))
    return Prometheus(server, promtool) if server and promtool else None


def backfill(binaries: Prometheus, history: Path, data: Path, logs: Path) -> Program:
    """Turns an OpenMetrics file into blocks of the data folder."""
    # promtool reads the whole file again for every block, so the blocks are as long as it allows.
    options = ("--quiet", "--max-block-duration=486h")
    command = (binaries.promtool, "tsdb", "create-blocks-from", "openmetrics", *options)
    return Program("promtool", (*command, str(history), str(data)), log=logs / "promtool.log")


def record(binaries: Prometheus, url: str, rules: Path, days: int, data: Path, logs: Path) -> Program:
    """Gives the recording rules their past, from what the running server at `url` knows.

    The server takes up the new blocks within a minute.
    """
    now = datetime.now(UTC)
    start = block_start(now - timedelta(days=days))
    command: tuple[str, ...] = (binaries.promtool, "tsdb", "create-blocks-from", "rules", "--quiet")
    command += (f"--url={url}", f"--start={start.isoformat()}", f"--end={now.isoformat()}")
    command += (f"--max-block-duration={BLOCK_HOURS}h",)
    return Program("backfill", (*command, f"--output-dir={data}", str(rules)), log=logs / "promtool.log")


def block_start(moment: datetime) -> datetime:
    """The start of the block that a moment lies in: promtool gives up on a rule that is not evaluated in what
    is left of the first block."""
    seconds = BLOCK_HOURS * 3_600
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)


def server(binaries: Prometheus, config: Path, data: Path, port: int, logs: Path) -> Program:
    """A server on loopback that keeps what the backfill made."""
    address = f"127.0.0.1:{port}"
    return Program(
        "prometheus",
        (
            binaries.server,
            f"--config.file={config}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=90d",  # the default of 15 d would drop the oldest days of history
            f"--web.listen-address={address}",
        ),
        ready_url=f"http://{address}/-/ready",
        log=logs / "prometheus.log",
    )
