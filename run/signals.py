"""The first signal ends the work in order; the ones after it change nothing."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from types import FrameType

from run.terminal import say
from settings.lifetime import stopping_signals


def run_until_signal(work: Coroutine[object, object, None]) -> None:
    """Run `work`; the first stopping signal cancels it, and its clean-up runs to the end.

    Further signals are ignored. They are common: Ctrl-C reaches whoever called us as well, who then
    adds a SIGTERM, and timeout(1) signals twice. The clean-up has its own limit of time.
    """

    async def cancellable() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work)
        stopping = stopping_signals()

        def end() -> None:
            say("ending ...")
            task.cancel()

        def stop(_number: int, _frame: FrameType | None) -> None:
            for number in stopping:
                signal.signal(number, signal.SIG_IGN)
            # A handler may run in the midst of a print, and a print within a print fails.
            loop.call_soon_threadsafe(end)

        # signal.signal, not loop.add_signal_handler: this one still holds after the loop has closed.
        for number in stopping:
            signal.signal(number, stop)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    asyncio.run(cancellable())
