"""A Prometheus of one's own: the binaries, the backfill and the server."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from run.program import Program

INSTALL = "no Prometheus here; `apt-get install prometheus` (or prometheus and promtool in PATH) adds one"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Where the two programs lie."""

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
    span = (f"--start={(now - timedelta(days=days)).isoformat()}", f"--end={now.isoformat()}")
    command = (binaries.promtool, "tsdb", "create-blocks-from", "rules", "--quiet", f"--url={url}", *span)
    return Program("promtool", (*command, f"--output-dir={data}", str(rules)), log=logs / "promtool.log")


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
