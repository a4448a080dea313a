"""`python -m ROOM`, run in this process: a Python that starts and imports a room takes half a second."""

from __future__ import annotations

import io
import runpy
import signal
import sys
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

ROOT = Path(__file__).parents[2]


class Done(NamedTuple):
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def run(room: str, *words: str | Path, cwd: Path = ROOT) -> Done:
    """Run a command to its end."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    arguments = ["-m", *map(str, words)]
    interrupted = signal.getsignal(signal.SIGINT)
    with patch.object(sys, "argv", arguments), chdir(cwd), redirect_stdout(out), redirect_stderr(err):
        try:
            with warnings.catch_warnings(category=RuntimeWarning, action="ignore"):  # it was imported before
                runpy.run_module(room, run_name="__main__", alter_sys=True)
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            signal.signal(signal.SIGINT, interrupted)
    return Done(code, out.getvalue(), err.getvalue())
