"""Every service ends in order by each stopping signal, SIGHUP among them, and with whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from settings.lifetime import PARENT

ROOT = Path(__file__).parents[1]
SERVICES = {"proxy": "server", "exporter": "exporter", "console": "console"}


@pytest.fixture(params=SERVICES)
def start(
    request: pytest.FixtureRequest, tmp_path: Path, free_port: Callable[[], int]
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a service, and returns once it answers."""
    name, started = str(request.param), list[subprocess.Popen[str]]()
    origin = f"127.0.0.1:{free_port()}"
    (tmp_path / "codex-usage.toml").write_text(f'[{SERVICES[name]}]\nlisten_addr = "{origin}"\n')

    def make(**environ: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", name],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError), urllib.request.urlopen(f"http://{origin}/healthz", timeout=2):
                return process
            time.sleep(0.1)
        assert process.stderr is not None
        pytest.fail(f"{name} does not answer: {process.stderr.read()}")

    yield make
    for process in started:
        with process:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_ends_it_in_order(
    start: Callable[..., subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = start()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in errors) == (0, False)


@pytest.mark.parametrize("name", SERVICES)
def test_it_does_not_outlive_whoever_started_it(
    tmp_path: Path, free_port: Callable[[], int], name: str
) -> None:
    """Its parent, it is told, is a process that is not its parent any more."""
    (tmp_path / "codex-usage.toml").write_text(
        f'[{SERVICES[name]}]\nlisten_addr = "127.0.0.1:{free_port()}"\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), PARENT: str(os.getppid())},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGTERM)
