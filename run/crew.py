"""Several programs as one: they start in order, and when one ends that is not to be restarted, all end."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiohttp

from run.errors import ProgramError
from run.program import Program, end, ended_in_order, failure, how, start
from run.terminal import complain

PAUSE_SECONDS = 0.1

REFUSED = 2
"""The exit code of a program with a bad configuration, or with an address that it cannot listen on."""


async def answers(url: str) -> None:
    """Return as soon as `url` answers 200; the caller sets the limit of time."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        while True:
            if await _is_ok(session, url):
                return
            await asyncio.sleep(PAUSE_SECONDS)


async def _is_ok(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, allow_redirects=False) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that each program may take.

    Attributes:
        ready: from its start until its ready_url answers; a cold disk makes the first start slow.
        stop: from SIGTERM to SIGKILL.
        pause: before one is started again; twice as long each time, `max_pause` at most, until it has run
            for longer than that.
        refusals: so often in a row one may end with exit code 2, what it was given is refused; a port that
            is not free yet ends it so, too, and then it must come back.
    """

    ready: float = 60.0
    stop: float = 10.0
    pause: float = 1.0
    max_pause: float = 60.0
    refusals: int = 4


LIMITS = Limits()


async def complete(program: Program, environ: Mapping[str, str], limits: Limits = LIMITS) -> None:
    """Run a program to its end.

    Raises: ProgramError when it ends with anything but 0.
    """
    process = await start(program, environ)
    try:
        returncode = await process.wait()
    finally:
        await end(process, limits.stop)
    if returncode:
        raise failure(program, returncode)


class Crew:
    """Running programs that live and die together. Make one with `together()`."""

    def __init__(self, environ: Mapping[str, str], limits: Limits) -> None:
        self._environ = environ
        self._limits = limits
        self._running: dict[Program, Process] = {}  # in the order of their start
        self._keepers: list[asyncio.Task[None]] = []

    async def add(self, program: Program) -> None:
        """Start a program and wait until it is ready.

        Raises: ProgramError when it does not get ready, or when any of the crew ends meanwhile.
        """
        self._running[program] = await start(program, self._environ)
        if program.ready_url is not None:
            await self._ready(program, program.ready_url)
        if program.restarted:
            self._keepers.append(asyncio.create_task(self._keep(program), name=program.name))

    async def _ready(self, program: Program, url: str) -> None:
        try:
            async with asyncio.timeout(self._limits.ready):
                await self._unless_one_ends(answers(url))
        except TimeoutError as error:
            raise ProgramError(
                f"{program.name} did not answer on {url} within {self._limits.ready:g} s"
            ) from error

    async def watch(self) -> None:
        """Return never.

        Raises: ProgramError as soon as one of the crew ends that is not to be restarted.
        """
        await self._unless_one_ends(asyncio.Event().wait())

    async def end(self) -> list[str]:
        """End all, the last started first: who sends requests goes before who answers them.

        Returns: a line for each that did not end in order.
        """
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        ends = [
            (program.name, await end(process, self._limits.stop))
            for program, process in reversed(self._running.items())
            if process.returncode is None or not program.restarted  # else it was told already
        ]
        return [f"told to end, {name} {how(code)}" for name, code in ends if not ended_in_order(code)]

    async def _unless_one_ends(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        kept = {keeper.get_name() for keeper in self._keepers}
        ends = [
            (program, asyncio.create_task(process.wait()))
            for program, process in self._running.items()
            if program.name not in kept
        ]
        try:
            await asyncio.wait((task, *(end for _, end in ends)), return_when=asyncio.FIRST_COMPLETED)
            for program, ended in ends:
                if ended.done():
                    raise failure(program, ended.result())
            task.result()
        finally:
            for waiting in (task, *(end for _, end in ends)):
                waiting.cancel()

    async def _keep(self, program: Program) -> None:
        """Start a program again whenever it has ended, with longer and longer pauses where it keeps so, until
        it has refused what it was given too often: a bad configuration does not mend itself."""
        pause, refusals = self._limits.pause, 0
        while True:
            began = monotonic()
            code = await self._running[program].wait()
            if monotonic() - began > self._limits.max_pause:
                pause = self._limits.pause
            refusals = refusals + 1 if code == REFUSED else 0
            if refusals == self._limits.refusals:
                ended = f"{program.name} {how(code)}, {refusals} times in a row"
                complain(f"{ended}; it stays so until everything is restarted")
                return
            complain(f"{program.name} {how(code)}; it is started again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._limits.max_pause)
            try:
                self._running[program] = await start(program, self._environ)
            except ProgramError as error:
                complain(str(error))


@asynccontextmanager
async def together(environ: Mapping[str, str], limits: Limits = LIMITS) -> AsyncIterator[Crew]:
    """A crew that is ended when the block is left, whatever the way.

    Raises: ProgramError when one of the crew fails to end in order, so something may be lost.
    """
    crew = Crew(environ, limits)
    try:
        yield crew
    finally:
        complaints = await crew.end()
        # What made the crew end is the better answer to why it ended.
        if complaints and not isinstance(sys.exception(), ProgramError):
            raise ProgramError("\n".join(complaints))
