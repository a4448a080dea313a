"""Several processes on one address: started, watched and ended together, their metrics summed in files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence

from prometheus_client.multiprocess import mark_process_dead

WORKER = "QUOTASCOPE_WORKER"
"""Set for a process that shares its address with others."""

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
RESTART_SECONDS = 1.0


def supervise(count: int, arguments: Sequence[str]) -> int:
    """Run workers until a signal; a worker that dies is replaced.

    Args:
        arguments: of `python -m proxy`.
    Returns: the exit code: 0, or 2 where a worker could not start at all.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="quotascope-metrics-") as folder:
        environ = {**os.environ, WORKER: "1", METRICS_FOLDER: folder}

        def start() -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", "proxy", *arguments]
            return subprocess.Popen(command, env=environ)  # noqa: S603 - our own program

        # The first one makes the ledger ready: migrations are not for several at once.
        workers = [start()]
        code = _first(workers[0], stop)
        if code is None:
            workers += [start() for _ in range(count - 1)]
            code = _watch(workers, start, stop, folder)
        _end(workers)
        return code


def _first(worker: subprocess.Popen[bytes], stop: threading.Event) -> int | None:
    """None when the first worker still runs after a moment, else its exit code."""
    for _ in range(10):
        if stop.wait(0.2):
            return 0
        if worker.poll() is not None:
            return worker.returncode or 1
    return None


def _watch(
    workers: list[subprocess.Popen[bytes]],
    start: Callable[[], subprocess.Popen[bytes]],
    stop: threading.Event,
    folder: str,
) -> int:
    while not stop.wait(RESTART_SECONDS):
        for index, worker in enumerate(workers):
            if worker.poll() is None:
                continue
            if worker.returncode == 2:
                return 2
            mark_process_dead(worker.pid, folder)  # type: ignore[no-untyped-call]
            print(f"proxy: worker {worker.pid} ended with {worker.returncode}; replaced", file=sys.stderr)
            workers[index] = start()
    return 0


def _end(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        if worker.poll() is None:
            worker.send_signal(signal.SIGTERM)
    for worker in workers:
        worker.wait()
