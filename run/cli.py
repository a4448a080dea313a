"""The commands of `python -m run`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import FrameType

from run.demo import demo, plan
from run.demo_folder import DemoFolder
from run.errors import RunError
from run.terminal import say
from run.up import up
from settings.arguments import OneLineParser, add_config
from settings.errors import SettingsError
from settings.lifetime import stopping_signals
from settings.load import load


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


EXIT_CODES = (
    "Exit codes: 0 stopped by Ctrl-C or SIGTERM, 1 a service failed, 2 bad input, nothing was started."
)


def main(argv: list[str]) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        run_until_signal(_work(options))
    except (RunError, SettingsError) as error:
        print(f"run: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, RunError) else 2
    return 0


def _work(options: argparse.Namespace) -> Coroutine[object, object, None]:
    if options.command == "up":
        return up(load(options.config, os.environ), options.config, os.environ)
    folder = DemoFolder(options.folder.absolute())
    path = os.environ.get("PATH")
    wanted = (options.proxy_port, options.exporter_port, options.console_port)
    ready = plan(folder, *wanted, options.days, options.rate, path)
    return demo(ready, os.environ)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(
        prog="python -m run",
        description="Start the services as child processes and stop them together.",
        epilog=EXIT_CODES,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_up(
        commands.add_parser(
            "up", help="run proxy, exporter and monitoring page on one ledger", epilog=EXIT_CODES
        )
    )
    _add_demo(
        commands.add_parser(
            "demo", help="run them against a simulated provider, with generated history", epilog=EXIT_CODES
        )
    )
    return parser


def _add_up(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run the proxy on 127.0.0.1:8787, the exporter on 127.0.0.1:8789 and the monitoring page on "
        "127.0.0.1:8788, with the ledger in usage.db. "
        "No configuration is needed; docs/configuration.md lists what can be set."
    )
    add_config(parser)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run everything against a simulated provider, with generated history and live traffic, in a "
        "separate folder. No key is needed, nothing leaves this machine, and your ledger is not touched."
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("demo"), help="recreated at each start (default: demo)"
    )
    parser.add_argument("--days", type=_within(1, 365), default=14, help="days of history (default: 14)")
    parser.add_argument(
        "--rate", type=_rate, default=0.1, help="requests per second, in the history and live (default: 0.1)"
    )
    parser.add_argument("--proxy-port", type=_within(1, 65535), default=8787, help="default: 8787")
    parser.add_argument("--exporter-port", type=_within(1, 65535), default=8789, help="default: 8789")
    parser.add_argument("--console-port", type=_within(1, 65535), default=8788, help="default: 8788")


def _within(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r}; allowed: {least} to {most}")
        return int(text)

    return number


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: above 0, up to 1000")
    return rate
