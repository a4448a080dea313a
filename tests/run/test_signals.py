from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORK = """
import asyncio
from run.cli import run_until_signal

async def work():
    try:
        print("working", flush=True)
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.5)
        print("cleaned up", flush=True)

run_until_signal(work())
print("came back", flush=True)
"""


@pytest.mark.parametrize(
    "numbers",
    [
        [signal.SIGTERM],
        [signal.SIGHUP],
        [signal.SIGINT, signal.SIGINT],
        [signal.SIGINT, signal.SIGTERM],
        [signal.SIGTERM, signal.SIGTERM, signal.SIGINT],
    ],
    ids=lambda numbers: "+".join(n.name for n in numbers),
)
def test_the_first_signal_ends_in_order_and_the_next_change_nothing(numbers: list[signal.Signals]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WORK],
        cwd=ROOT,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.1)
        output, errors = process.communicate(timeout=20)
    assert (output, errors) == ("ending ...\ncleaned up\ncame back\n", "")
    assert process.returncode == 0


def test_an_error_of_the_work_comes_through() -> None:
    source = WORK.replace("await asyncio.sleep(60)", "raise ValueError('mine')")
    process = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
    )
    assert process.stdout == "working\ncleaned up\n"
    assert process.stderr.endswith("ValueError: mine\n")
