from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter import ending
from exporter.ending import LAST_SECONDS, LastResort

ROOT = Path(__file__).parents[2]

HANGING = """
import time
from exporter.ending import LastResort
with LastResort(lambda: print("interrupted", flush=True)) as last_resort:
    last_resort.begin()
    time.sleep(60)
"""


def test_a_process_that_hangs_ends_in_time() -> None:
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", HANGING], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n")
    assert time.monotonic() - begin < LAST_SECONDS + 20


def test_one_that_ends_by_itself_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "INTERRUPT_SECONDS", 0.05)
    interrupted = threading.Event()
    with LastResort(interrupted.set) as last_resort:
        last_resort.begin()
    assert not interrupted.wait(0.2)
    never: Callable[[], None] = interrupted.set
    with LastResort(never):
        pass
    assert not interrupted.wait(0.2)
