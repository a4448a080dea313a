"""One child process: how it is started, how it is ended, and what its end says."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from run.errors import ProgramError
from settings.lifetime import as_child, signalled_by_the_kernel


@dataclass(frozen=True, slots=True)
class Program:
    """What to start.

    Attributes:
        name: for messages.
        argv: the command and its arguments.
        ready_url: answers 200 as soon as the program is of use; None for one that is watched by nobody.
        log: the file for its output; None leaves it on our own standard output and error.
        restarted: once it was ready it is started again whenever it ends; else its end is the end of all.
    """

    name: str
    argv: tuple[str, ...]
    ready_url: str | None = None
    log: Path | None = None
    restarted: bool = False


async def start(program: Program, environ: Mapping[str, str]) -> Process:
    """Start a program in a session of its own.

    Ctrl-C in a terminal reaches a whole process group. In a session of its own the child gets one
    signal alone, ours, so that the order of ending is ours too.

    Raises: ProgramError when the command cannot be run.
    """
    with contextlib.ExitStack() as files:
        output = None if program.log is None else files.enter_context(program.log.open("ab"))
        try:
            return await asyncio.create_subprocess_exec(
                *program.argv,
                env=as_child(environ),
                stdin=DEVNULL,
                stdout=output,
                stderr=None if output is None else STDOUT,
                start_new_session=True,
                preexec_fn=signalled_by_the_kernel(),
            )
        except OSError as error:
            raise ProgramError(f"{program.name} cannot be started: {error}", exit_code=2) from error


async def end(process: Process, patience: float) -> int:
    """End a process: SIGTERM, then SIGKILL after `patience` seconds.

    Returns: its exit code, negative for the signal that ended it.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    try:
        async with asyncio.timeout(patience):
            return await process.wait()
    except TimeoutError:
        process.kill()
        return await process.wait()


def ended_in_order(returncode: int) -> bool:
    """Whether a program that was told to end did so; one without a handler yet dies by our SIGTERM."""
    return returncode in (0, -signal.SIGTERM)


def failure(program: Program, returncode: int) -> ProgramError:
    """What the unwanted end of a program means, with the last lines that it logged."""
    message = f"{program.name} {how(returncode)}"
    if program.log is not None:
        message += f"; {program.log} ends with:\n" + _last_lines(program.log)
    return ProgramError(message, exit_code=2 if returncode == 2 else 1)


def how(returncode: int) -> str:
    if returncode < 0:
        return f"was ended by {signal.Signals(-returncode).name}"
    return f"ended with exit code {returncode}"


def _last_lines(log: Path, count: int = 5) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
