from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from run.crew import Limits, complete, together
from run.errors import ProgramError
from run.program import Program

SOON = Limits(ready=20, stop=5)


async def test_programs_start_in_order_and_end_in_reverse(
    server: Callable[..., Program], environ: Mapping[str, str], journal: Any
) -> None:
    async with together(environ, SOON) as crew:
        await crew.add(server("first", delay=0.3))
        await crew.add(server("second"))
    assert journal.lines() == [
        "first is up",
        "second is up",
        "second ends",
        "first ends",
    ]


async def test_when_one_ends_all_end(
    server: Callable[..., Program], script: Callable[..., Program], environ: Mapping[str, str], journal: Any
) -> None:
    with pytest.raises(ProgramError, match="short-lived ended with exit code 3") as caught:
        async with together(environ, SOON) as crew:
            await crew.add(server("other"))
            await crew.add(script("short-lived", "raise SystemExit(3)"))
            await crew.watch()
    assert caught.value.exit_code == 1
    assert journal.lines() == ["other is up", "other ends"]


FLAKY = """
import sys, time
with open(sys.argv[1], "a+") as journal:
    journal.write("ran\\n")
    journal.flush()
    journal.seek(0)
    runs = len(journal.readlines())
if runs < 5:
    sys.exit(int(sys.argv[2]))
time.sleep(60)
"""


async def test_one_that_is_restarted_comes_back_with_longer_and_longer_pauses(
    script: Callable[..., Program],
    environ: Mapping[str, str],
    journal: Any,
    capfd: pytest.CaptureFixture[str],
) -> None:
    flaky = replace(script("flaky", FLAKY, str(journal.path), "3"), restarted=True)
    async with together(environ, replace(SOON, pause=0.05)) as crew:
        await crew.add(script("steady", "import time; time.sleep(60)"))
        await crew.add(flaky)
        watching = asyncio.create_task(crew.watch())
        async with asyncio.timeout(20):
            while len(journal.lines()) < 5:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert not watching.done()
        watching.cancel()
    assert [line.rpartition(" in ")[2] for line in capfd.readouterr().err.splitlines()[:4]] == [
        "0.05 s",
        "0.1 s",
        "0.2 s",
        "0.4 s",
    ]


async def test_one_that_goes_on_refusing_what_it_was_given_stays_ended_and_the_others_go_on(
    script: Callable[..., Program],
    environ: Mapping[str, str],
    journal: Any,
    capfd: pytest.CaptureFixture[str],
) -> None:
    refusing = replace(script("exporter", FLAKY, str(journal.path), "2"), restarted=True)
    async with together(environ, replace(SOON, pause=0.05, refusals=3)) as crew:
        await crew.add(script("proxy", "import time; time.sleep(60)"))
        await crew.add(refusing)
        watching = asyncio.create_task(crew.watch())
        lines: list[str] = []
        async with asyncio.timeout(30):
            while len(lines) < 3:
                lines += capfd.readouterr().err.splitlines()
                await asyncio.sleep(0.02)
        assert not watching.done()
        watching.cancel()
    assert lines == [
        "run: exporter ended with exit code 2; it is started again in 0.05 s",
        "run: exporter ended with exit code 2; it is started again in 0.1 s",
        "run: exporter ended with exit code 2, 3 times in a row; it stays so until everything is restarted",
    ]
    assert len(journal.lines()) == 3


async def test_the_end_of_another_ends_also_those_that_are_restarted(
    server: Callable[..., Program], script: Callable[..., Program], environ: Mapping[str, str], journal: Any
) -> None:
    with pytest.raises(ProgramError, match="short-lived ended with exit code 3"):
        async with together(environ, SOON) as crew:
            await crew.add(replace(server("kept"), restarted=True))
            await crew.add(script("short-lived", "raise SystemExit(3)"))
            await crew.watch()
    assert journal.lines() == ["kept is up", "kept ends"]


async def test_a_program_that_refuses_its_input_ends_the_wait_at_once(
    script: Callable[..., Program], environ: Mapping[str, str]
) -> None:
    refusing = script("proxy", "raise SystemExit(2)")
    waiting = Program("proxy", refusing.argv, ready_url="http://127.0.0.1:9/")
    async with asyncio.timeout(30):
        with pytest.raises(ProgramError, match="proxy ended with exit code 2") as caught:
            async with together(environ, Limits(ready=60, stop=5)) as crew:
                await crew.add(waiting)
    assert caught.value.exit_code == 2


async def test_a_program_that_never_gets_ready_is_ended(
    server: Callable[..., Program], environ: Mapping[str, str], journal: Any
) -> None:
    deaf = server("deaf")
    wrong = Program("deaf", deaf.argv, ready_url="http://127.0.0.1:9/readyz")
    with pytest.raises(ProgramError, match=r"deaf did not answer on .*:9/readyz within 3 s"):
        async with together(environ, Limits(ready=3, stop=5)) as crew:
            await crew.add(wrong)
    assert journal.lines() == ["deaf is up", "deaf ends"]


UNTIDY = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))
print("untidy is up", flush=True)
time.sleep(60)
"""


async def test_an_end_out_of_order_is_told(
    script: Callable[..., Program], environ: Mapping[str, str], journal: Any
) -> None:
    with pytest.raises(ProgramError, match="told to end, untidy ended with exit code 4"):
        async with together(environ, SOON) as crew:
            await crew.add(script("untidy", UNTIDY, log=journal.path))
            await journal.until("untidy is up")


async def test_a_step_runs_to_its_end(
    script: Callable[..., Program], environ: Mapping[str, str], tmp_path: Path
) -> None:
    await complete(script("step", "import sys; open(sys.argv[1], 'w')", str(tmp_path / "done")), environ)
    assert (tmp_path / "done").exists()


async def test_a_step_that_fails_shows_what_it_said(
    script: Callable[..., Program], environ: Mapping[str, str], tmp_path: Path
) -> None:
    failing = script("step", "raise SystemExit('no space left')", log=tmp_path / "log")
    with pytest.raises(ProgramError, match=r"step ended with exit code 1; .*log ends with:\nno space left"):
        await complete(failing, environ)


async def test_a_cancelled_step_is_ended(
    server: Callable[..., Program], environ: Mapping[str, str], journal: Any
) -> None:
    step = asyncio.create_task(complete(server("step"), environ))
    await journal.until("step is up")
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    assert journal.lines() == ["step is up", "step ends"]
