"""A service ends with its parent, and by the signals that are meant for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from settings.lifetime import PARENT, as_child

ROOT = Path(__file__).parents[2]

PARENT_OF_ONE = """
import os, subprocess, sys, time
from settings.lifetime import as_child, signalled_by_the_kernel
how, child = sys.argv[1:]
environ = as_child(os.environ) if how == "looks" else None
ask = signalled_by_the_kernel() if how == "kernel" else None
print(subprocess.Popen([sys.executable, "-c", child], env=environ, preexec_fn=ask).pid, flush=True)
time.sleep(60)
"""

CHILD = """
import os, sys, time
from settings.lifetime import end_with_parent
end_with_parent(os.environ)
print("up", flush=True)
time.sleep(60)
"""


def runs(pid: int) -> bool:
    """Whether a process still does something; one that has ended waits for its new parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("how", ["looks", "kernel"])
def test_a_child_ends_with_a_parent_that_was_killed(how: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT_OF_ONE, how, CHILD], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert parent.stdout.readline() == "up\n"
        assert runs(child)
        parent.kill()
        deadline = time.monotonic() + 10
        while runs(child) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not runs(child)


def test_a_child_whose_parent_is_gone_already_ends() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    environ = {**os.environ, PARENT: str(gone.pid)}
    child = subprocess.run([sys.executable, "-c", CHILD], cwd=ROOT, env=environ, timeout=20, check=False)
    assert child.returncode == -signal.SIGTERM


def test_a_service_that_nobody_of_us_started_looks_after_nobody() -> None:
    source = CHILD.replace("60", "0.1") + "import threading; print(threading.active_count())"
    environ = {name: value for name, value in os.environ.items() if name != PARENT}
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "up\n1\n"


def test_a_grandchild_looks_after_its_own_parent() -> None:
    assert as_child({PARENT: "1", "A": "b"}) == {PARENT: str(os.getpid()), "A": "b"}


@pytest.mark.parametrize(("ignored", "ends"), [(False, True), (True, False)])
def test_a_hang_up_ends_a_service_unless_its_caller_ignores_it(ignored: bool, ends: bool) -> None:
    source = (
        "import signal; from settings.lifetime import stopping_signals;"
        "print(signal.SIGHUP in stopping_signals())"
    )
    if ignored:
        source = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN);" + source
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{ends}\n"
