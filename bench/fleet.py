"""50,000 requests through a proxy with twenty accounts in every trouble, judged by the provider's own log.

Provider, proxy and callers are processes of their own. `python -m bench.fleet --port PORT` is the provider.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import uvloop

from bench.relay import LOAD_CPU, SUBJECT_CPU
from bench.scenes.configured import routed
from bench.scenes.processes import Program, free_port, python, start
from bench.soak import Finding
from tests.support.fleet.attempts import attempts
from tests.support.fleet.calls import Call, call_all
from tests.support.fleet.judging import asked_too_late, asked_too_often, counted, expected, failed, summed
from tests.support.fleet.twenty import TROUBLES, TWENTY, tables
from tests.support.fleet.upstream import read_book, serve_accounts

REQUESTS = 50_000
MAX_SHOWN = 10


def findings(requests: int = REQUESTS) -> list[Finding]:
    """Run it; what is wrong stands behind the counts, each in a line of its own."""
    with tempfile.TemporaryDirectory() as name:
        provider = _provider()
        try:
            token_url = f"{provider.origin}/oauth/token"
            described = tables(TWENTY, Path(name), provider.origin)
            proxy = routed("fleet", Path(name), provider.origin, described, SUBJECT_CPU, token_url=token_url)
            try:
                calls = _called(proxy.origin, requests)
                return _judged(calls, _read(provider.origin + "/log"), _read(proxy.origin + "/metrics"))
            finally:
                proxy.end()
        finally:
            provider.end()


def table(found: list[Finding]) -> str:
    lines = ["### Twenty accounts", "", "| | measured | wanted |", "|---|--:|--:|"]
    return "\n".join([*lines, *(f"| {f.what} | {f.measured} | {f.wanted} |" for f in found)])


def _judged(calls: list[Call], log: bytes, scrape: bytes) -> list[Finding]:
    tried = attempts(read_book(log).entries, calls)
    seconds = max(call.ended for call in calls) - min(call.began for call in calls)
    met = Counter(attempt.code for attempt in tried)
    return [
        Finding("requests", f"{len(calls):,} in {seconds:.0f} s", f"{REQUESTS:,}"),
        Finding("attempts at the provider", f"{len(tried):,}", "more than requests"),
        *(Finding(f"attempts refused: {code}", f"{met[code]:,}", "some") for code in TROUBLES),
        *_none("failed though an account could answer", failed(tried, calls)),
        *_none("reached an account after its mark", asked_too_late(tried)),
        *_none("tried too often, or after an answer", asked_too_often(tried)),
        *_none("series that differ from the log", _differences(scrape, expected(tried, TWENTY))),
    ]


def _none(what: str, faults: list[str]) -> list[Finding]:
    shown = [Finding(f"… {fault}", "", "") for fault in faults[:MAX_SHOWN]]
    return [Finding(what, f"{len(faults):,}", "0"), *shown]


def _differences(scrape: bytes, wanted: Mapping[str, float]) -> list[str]:
    found = counted(summed([scrape.decode()]))
    names = sorted(found.keys() | wanted.keys())
    return [
        f"{name}: {found.get(name, 0):g}, by the log {wanted.get(name, 0):g}"
        for name in names
        if found.get(name) != wanted.get(name)
    ]


def _called(origin: str, requests: int) -> list[Call]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(call_all(origin, requests))


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        return bytes(answer.read())


def _provider() -> Program:
    port = free_port()
    return start("provider", python("-m", "bench.fleet", "--port", str(port)), port, cpu=LOAD_CPU)


async def _serve(port: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serve_accounts(TWENTY, port=port):
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fleet")
    parser.add_argument("--port", type=int, required=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
