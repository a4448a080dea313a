"""Several processes on one address: started, watched and ended together, their metrics summed in files."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client.multiprocess import mark_process_dead

from proxy.errors import AddressTaken
from settings.lifetime import as_child, signalled_by_the_kernel, stopping_signals
from settings.model import split_address

WORKER = "QUOTASCOPE_WORKER"
"""Set for a process that shares its address with others."""

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
BAD_INPUT = 2
"""The exit code of a worker that blames its input; any other may go well the next time."""

LOOK_SECONDS = 0.2
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
STEADY_SECONDS = 60.0
"""A worker that ran for so long did not end because it cannot start."""

FREE_SECONDS = 2.0
"""How long an address may stay taken by one of us who was killed, until its workers have noticed."""


@dataclass(slots=True)
class Worker:
    """One worker's place.

    Attributes:
        process: None between an end and the next start.
        began: when it was started, `monotonic()`.
        starts_at: when it is started again.
        pause: before the next start.
        code: what it ended with last.
    """

    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0
    starts_at: float = 0.0
    pause: float = FIRST_PAUSE
    code: int = 0


def supervise(count: int, address: str, arguments: Sequence[str]) -> int:
    """Run workers until a signal; a worker that ends is replaced, with longer and longer pauses where it
    keeps ending, while the others serve.

    Args:
        address: HOST:PORT that they share.
        arguments: of `python -m proxy`.
    Returns: the exit code: 0, or that of the first worker where it could not start; 2 where no worker is left
        and none can start with the input as it is now.
    Raises: AddressTaken.
    """
    stop = threading.Event()
    for number in stopping_signals():
        signal.signal(number, lambda *_: stop.set())
    wait_until_free(address)
    with tempfile.TemporaryDirectory(prefix="quotascope-metrics-") as folder:
        crew = Workers(count, arguments, folder)
        try:
            return crew.run(stop, address)
        finally:
            crew.end()


class Workers:
    """The workers of one supervisor.

    Args:
        folder: where they sum their metrics.
    """

    def __init__(self, count: int, arguments: Sequence[str], folder: str) -> None:
        self._command = [sys.executable, "-m", "proxy", *arguments]
        self._environ = {**as_child(os.environ), WORKER: "1", METRICS_FOLDER: folder}
        self._folder = folder
        self._workers = [Worker() for _ in range(count)]

    def run(self, stop: threading.Event, address: str) -> int:
        """Until a signal. Returns: the exit code."""
        first = self._workers[0]  # it makes the ledger ready: migrations are not for several at once
        self._start(first)
        while not answers(address):
            if stop.wait(LOOK_SECONDS):
                return 0
            if first.process is not None and (code := first.process.poll()) is not None:
                return code or 1
        while not stop.wait(LOOK_SECONDS):
            if self._look():
                return BAD_INPUT
        return 0

    def end(self) -> None:
        """End all in order."""
        running = [worker.process for worker in self._workers if worker.process is not None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            process.wait()

    def _look(self) -> bool:
        """Replace who has ended; whether nobody is left, and nobody can start with this input."""
        for worker in self._workers:
            if worker.process is not None and worker.process.poll() is not None:
                self._ended(worker, worker.process)
            if worker.process is None and time.monotonic() >= worker.starts_at:
                self._start(worker)
        return all(worker.process is None and worker.code == BAD_INPUT for worker in self._workers)

    def _start(self, worker: Worker) -> None:
        worker.began = time.monotonic()
        worker.process = subprocess.Popen(  # noqa: S603 - our own program
            self._command, env=self._environ, preexec_fn=signalled_by_the_kernel()
        )

    def _ended(self, worker: Worker, process: subprocess.Popen[bytes]) -> None:
        mark_process_dead(process.pid, self._folder)  # type: ignore[no-untyped-call]
        now = time.monotonic()
        if now - worker.began > STEADY_SECONDS:
            worker.pause = FIRST_PAUSE
        text = f"worker {process.pid} ended with {process.returncode}; replaced in {worker.pause:g} s"
        print(f"proxy: {text}", file=sys.stderr, flush=True)
        worker.process, worker.code = None, process.returncode
        worker.starts_at = now + worker.pause
        worker.pause = min(LONGEST_PAUSE, 2 * worker.pause)


def wait_until_free(address: str, patience: float = FREE_SECONDS) -> None:
    """See that nobody listens at an address: workers share it with whoever does, also with those of a
    supervisor that was killed, which would answer for us and count elsewhere.

    Raises: AddressTaken.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return _bind(address)
        except OSError as error:
            if time.monotonic() >= deadline:
                raise AddressTaken(address, error) from error
            time.sleep(LOOK_SECONDS)


def answers(address: str) -> bool:
    """Whether somebody accepts connections at an address."""
    host, port = split_address(address)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _bind(address: str) -> None:
    host, port = split_address(address)
    for family, kind, protocol, _, name in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(name)
