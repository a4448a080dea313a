from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from run.errors import ProgramError
from run.program import Program, end, ended_in_order, failure, start

ROOT = Path(__file__).parents[2]
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = """
import asyncio, os, sys
from run.program import Program, start

async def main():
    await start(Program("orphan", tuple(sys.argv[1:])), os.environ)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_program_gets_its_own_session_and_the_environment_given(
    script: Callable[..., Program], environ: Mapping[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    source = "import os; print(os.getsid(0) == os.getpid(), sorted(k for k in os.environ if k[:2] == 'A_'))"
    process = await start(script("it", source, log=log), {**environ, "A_B": "1"})
    assert await process.wait() == 0
    assert log.read_text() == "True ['A_B']\n"


async def test_a_command_that_is_not_there_is_bad_input(environ: Mapping[str, str]) -> None:
    with pytest.raises(ProgramError, match=r"proxy cannot be started: .*nowhere") as caught:
        await start(Program("proxy", ("/nowhere/at-all",)), environ)
    assert caught.value.exit_code == 2


async def test_ending_is_gentle_first(
    server: Callable[..., Program], environ: Mapping[str, str], journal: Any
) -> None:
    process = await start(server("it"), environ)
    await journal.until("it is up")
    assert await end(process, 10) == 0
    assert journal.lines() == ["it is up", "it ends"]
    assert await end(process, 10) == 0, "a second end changes nothing"


async def test_who_ignores_sigterm_is_killed(
    script: Callable[..., Program], environ: Mapping[str, str], journal: Any
) -> None:
    process = await start(script("it", STUBBORN, log=journal.path), environ)
    await journal.until("up")
    began = time.monotonic()
    assert await end(process, 0.3) == -signal.SIGKILL
    assert 0.3 <= time.monotonic() - began < 20


def test_the_end_of_a_program_in_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {n}\n" for n in range(9)))
    assert str(failure(Program("proxy", ("x",)), 3)) == "proxy ended with exit code 3"
    assert str(failure(Program("proxy", ("x",)), -9)) == "proxy was ended by SIGKILL"
    assert str(failure(Program("proxy", ("x",), log=log), 1)).endswith(
        "ends with:\nline 4\nline 5\nline 6\nline 7\nline 8"
    )


@pytest.mark.parametrize(("returncode", "exit_code"), [(1, 1), (0, 1), (2, 2), (3, 1), (-15, 1)])
def test_only_bad_input_is_handed_on(returncode: int, exit_code: int) -> None:
    assert failure(Program("proxy", ("x",)), returncode).exit_code == exit_code


@pytest.mark.parametrize(("returncode", "good"), [(0, True), (-15, True), (1, False), (-9, False)])
def test_what_counts_as_order(returncode: int, good: bool) -> None:
    assert ended_in_order(returncode) is good


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_a_killed_supervisor_leaves_no_child_behind(
    server: Callable[..., Program], journal: Any
) -> None:
    orphan = server("orphan").argv
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, *orphan, cwd=ROOT)
    await journal.until("orphan is up")
    parent.kill()
    await parent.wait()
    await journal.until("orphan ends")
