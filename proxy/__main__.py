"""`python -m proxy`: read the configuration once, wire, run."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Sequence

import uvloop

from ledger import process_log
from ledger.errors import LedgerError, StoreUnavailable
from proxy.errors import AddressTaken, BodyLogError, CredentialError
from proxy.service import serving
from proxy.workers import WORKER, supervise
from settings.arguments import OneLineParser, add_config
from settings.errors import SettingsError
from settings.lifetime import end_with_parent, set_limits, stopping_signals
from settings.load import load
from settings.model import Settings, split_address


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = OneLineParser(
        prog="python -m proxy",
        description="Forward LLM requests to the upstream and meter each of them into the ledger.",
        epilog="Point your client to it: export OPENAI_BASE_URL=http://127.0.0.1:8787/v1. "
        "Ctrl-C stops it; running requests may finish. "
        "Exit codes: 0 stopped, 1 the ledger is currently unavailable, 2 bad input.",
    )
    add_config(made)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal; returns the exit code."""
    options = parser().parse_args(arguments)
    process_log.set_up()
    set_limits()
    end_with_parent(os.environ)
    try:
        settings = load(options.config, os.environ)
        shared = WORKER in os.environ
        if settings.server.workers > 1 and not shared:
            given = arguments if arguments is not None else sys.argv[1:]
            return supervise(settings.server.workers, settings.server.listen_addr, given)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, shared))
    except (SettingsError, LedgerError, AddressTaken, BodyLogError, CredentialError) as error:
        print(f"proxy: {error}", file=sys.stderr)
        return 1 if isinstance(error, StoreUnavailable) else 2
    return 0


async def _serve(settings: Settings, shared: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in stopping_signals():
        loop.add_signal_handler(number, stop.set)
    try:
        async with serving(settings, shared=shared, own_writer=True) as service:
            host, _ = split_address(settings.server.listen_addr)
            print(
                f"proxy: http://{host}:{service.port}{settings.server.public_base_path} -> "
                f"{settings.server.upstream_base_url}",
                flush=True,
            )
            gc.collect()
            gc.freeze()  # the prices stay: looking through them again and again is what pauses requests
            await stop.wait()
    except OSError as error:
        raise AddressTaken(settings.server.listen_addr, error) from error


if __name__ == "__main__":
    sys.exit(main())
