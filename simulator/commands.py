"""The commands of `python -m simulator`: arguments in, work done, exit code out."""

from __future__ import annotations

import asyncio
import signal
import sys
from argparse import Namespace
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import uvloop

from ledger.pricing.files import book, load_seed
from ledger.pricing.prices import PriceBook
from ledger.store import parse_url, sqlite_url
from simulator.errors import OutputError, ScriptError
from simulator.history.exporting import Exporter
from simulator.history.fleet import FLEET, account_key, scaled
from simulator.history.history import History, generate
from simulator.history.ledger import prepared, store
from simulator.history.openmetrics import together
from simulator.history.plan import Plan
from simulator.history.quota import windows_at_end
from simulator.history.rhythm import zone
from simulator.history.scrapes import Scrapes
from simulator.history.seeded import undisturbed
from simulator.provider import fleet
from simulator.provider.fixed import serve_fixed
from simulator.provider.fleet import FleetPlay
from simulator.provider.plausible import Plausible
from simulator.provider.script import Play
from simulator.provider.upstream import serve
from simulator.traffic import Tally, Traffic, run


@contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that the first SIGINT or SIGTERM sets; a second one acts as it always does."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def stopped() -> None:
        stop.set()
        restore()

    def restore() -> None:
        for each in signals:
            loop.remove_signal_handler(each)

    for each in signals:
        loop.add_signal_handler(each, stopped)
    try:
        yield stop
    finally:
        restore()


def upstream(asked: Namespace) -> int:
    _run(_fixed(asked) if asked.fixed else _plausible(asked))
    return 0


def traffic(asked: Namespace) -> int:
    """Send traffic; 1 where not one request got an answer."""
    rhythm = zone(asked.rhythm) if asked.rhythm else None
    plan = Traffic(asked.base_url, asked.rate, asked.seconds, asked.seed, rhythm)
    tally: Tally = _run(_traffic(plan))
    print(
        f"{tally.sent} requests: {tally.answered} answered, {tally.refused} refused, "
        f"{tally.left} left by their caller, {tally.failed} failed"
    )
    if tally.failed and not tally.answered + tally.refused:
        print(f"nothing answers at {plan.base_url}: {tally.reason}", file=sys.stderr)
        return 1
    return 0


def history(asked: Namespace) -> int:
    """Invent history and write it where it is wanted."""
    if not asked.database and not asked.openmetrics:
        raise ScriptError("say where to write: --database FILE, --openmetrics FILE, or both")
    prices = book(load_seed())
    invented = generate(plan(asked, datetime.now(UTC)), prices)
    if asked.database:
        engine = prepared(
            parse_url(asked.database) if "://" in asked.database else sqlite_url(Path(asked.database))
        )
        store(engine, invented, keys(asked.keys) if asked.keys else {})
        engine.dispose()
    if asked.fleet:
        ends = windows_at_end(invented.plan.accounts, invented.samples, invented.plan.end)
        fleet.save(ends, asked.fleet)
    if asked.openmetrics:
        _write_samples(asked, invented, prices)
    _tell(invented)
    return 0


def plan(asked: Namespace, now: datetime) -> Plan:
    """The plan of a history that ends at a moment and begins at a midnight UTC."""
    end = asked.until or now
    try:
        first = (end - timedelta(microseconds=1)).date() - timedelta(days=asked.days - 1)
    except OverflowError as error:
        raise ScriptError(f"a history of {asked.days} days begins before the calendar does") from error
    return Plan(
        start=datetime.combine(first, time(), tzinfo=UTC),
        end=end,
        requests_per_day=asked.requests_per_day,
        accounts=scaled(FLEET, asked.requests_per_day),
        seed=asked.seed,
        zone=asked.zone,
    )


def keys(folder: Path) -> Mapping[str, str]:
    """The simulated accounts with references to their keys, each in a file of its own.

    Raises: OutputError.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for account in FLEET:
            file = folder / account.id
            file.touch(mode=0o600)
            file.write_text(account_key(account.id), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {error.filename}: {error.strerror}") from error
    return {account.id: f"file:{(folder / account.id).absolute()}" for account in FLEET}


def _write_samples(asked: Namespace, invented: History, prices: PriceBook) -> None:
    proxy, exporter = asked.instances
    scrapes = Scrapes(invented.plan.start, invented.plan.end, asked.interval, instance=proxy)
    try:
        with asked.openmetrics.open("w", encoding="utf-8") as out:
            out.writelines(together(undisturbed(invented, scrapes, prices, Exporter(), exporter)))
    except OSError as error:
        raise OutputError(f"cannot write {asked.openmetrics}: {error.strerror}") from error


def _tell(invented: History) -> None:
    cost = invented.totals.cost
    print(
        f"{len(invented.events)} requests from {invented.plan.start:%Y-%m-%d %H:%M} "
        f"to {invented.plan.end:%Y-%m-%d %H:%M} UTC, "
        f"{cost.usd:.2f} US dollars and {cost.unpriced_requests} without a price"
    )


async def _plausible(asked: Namespace) -> None:
    host, port = asked.listen
    play: Play = Plausible(asked.seed, asked.speed)
    if asked.fleet:
        # What marks an account for good would in time leave nobody: only used-up quota refuses.
        usual = Plausible(asked.seed, asked.speed, spared=("auth", "quota"))
        play = FleetPlay(usual, fleet.load(asked.fleet), book(load_seed()))
    with stop_signals() as stop:
        async with serve(play, host=host, port=port, keep_bytes=False, keep_last=1_000) as running:
            _listening(running.origin)
            await stop.wait()


async def _fixed(asked: Namespace) -> None:
    host, port = asked.listen
    with stop_signals() as stop:
        async with serve_fixed(host=host, port=port, events_per_write=asked.events_per_write) as origin:
            _listening(origin)
            await stop.wait()


def _listening(origin: str) -> None:
    print(f"simulated provider on {origin}; ask it with OPENAI_BASE_URL={origin}/v1", flush=True)


async def _traffic(plan: Traffic) -> Tally:
    with stop_signals() as stop:
        return await run(plan, stop)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
