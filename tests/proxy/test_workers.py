"""Several processes on one address: what each counted is summed, and a dead one is replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
REQUESTS = 24


def get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:  # the upstream is not there: a 502 is an answer too
        return str(error.read().decode())


def until(what: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if what():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline, "what was awaited does not come"
        time.sleep(0.2)


def test_workers_count_as_one_and_a_dead_one_is_replaced(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port, nobody = free_port(), free_port()
    (tmp_path / "codex-usage.toml").write_text(
        f'[server]\nlisten_addr = "127.0.0.1:{port}"\nworkers = 2\n'
        f'upstream_base_url = "http://127.0.0.1:{nobody}"\n'
    )
    origin = f"http://127.0.0.1:{port}"
    counted = f'http_requests_total{{method="GET",path="/v1/models",status="502"}} {REQUESTS}.0'
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        until(lambda: len(children.read_text().split()) == 2 and "ok" in get(f"{origin}/healthz"))
        for _ in range(REQUESTS):
            get(f"{origin}/v1/models")
        until(lambda: counted in get(f"{origin}/metrics"))
        first = children.read_text().split()
        os.kill(int(first[0]), signal.SIGKILL)
        until(lambda: len(set(children.read_text().split()) - set(first)) == 1)
        until(lambda: counted in get(f"{origin}/metrics"))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
