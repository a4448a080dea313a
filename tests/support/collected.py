"""A campaign against the collector: a gateway that publishes without a pause, faults at random moments, and
the judgement afterwards. Every event that was published is in the ledger once, or within a recorded gap."""

from __future__ import annotations

import asyncio
import os
import random
import re
import resource
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

from sqlalchemy import inspect, select

from ledger import store
from ledger.gateways import gaps as stored_gaps
from ledger.gateways.values import GatewayGap
from ledger.schema import request_logs
from tests.support.gateway.records import encoded, record
from tests.support.gateway.server import Gateway

ROOT = Path(__file__).parents[2]
KEY = "management-key-1"
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+(?=/metrics)")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the published events.

    Attributes:
        missing: of those that are not in the ledger.
        unexplained: missing, and in no gap.
    """

    published: int
    stored: int
    twice: tuple[str, ...]
    missing: tuple[str, ...]
    unexplained: tuple[str, ...]
    gaps: tuple[GatewayGap, ...]
    gap_seconds: float
    seconds: float


@dataclass(slots=True)
class Campaign:
    """One collector as a process, and one gateway in this one.

    Attributes:
        published: request id -> when its request ended.
        lines: what the collector said.
    """

    folder: Path
    gateway: Gateway
    transport: str = "auto"
    seed: int = 1
    rate: float = 200.0
    published: dict[str, float] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    process: asyncio.subprocess.Process | None = None
    _reading: list[asyncio.Task[None]] = field(default_factory=list)
    _rng: random.Random = field(default_factory=random.Random)
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._rng.seed(self.seed)
        self.config.write_text(
            f'[storage]\ndatabase_path = "{self.folder / "usage.db"}"\n'
            f'[collector]\nlisten_addr = "127.0.0.1:0"\ninbox_path = "{self.folder / "inbox.db"}"\n'
            f"poll_seconds = 0.2\n"
            f'[collector.gateways."cpa"]\nurl = "{self.gateway.url}"\nkey = "env:CPA_KEY"\n'
            f'transport = "{self.transport}"\n',
            encoding="utf-8",
        )

    @property
    def config(self) -> Path:
        return self.folder / "codex-usage.toml"

    async def start(self) -> None:
        """Start the collector."""
        self.lines.clear()
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "collector", "--config", str(self.config)),
            cwd=ROOT,
            env={**os.environ, "CPA_KEY": KEY},
            stderr=asyncio.subprocess.STDOUT,
            stdout=asyncio.subprocess.PIPE,
        )
        self._reading.append(asyncio.create_task(self._read(self.process)))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self.lines.append(line.decode().rstrip())

    def said(self, words: str) -> bool:
        """Whether the collector has said something."""
        return any(words in line for line in self.lines)

    def is_ready(self) -> bool:
        """Whether it collects, as it says itself."""
        found = next(filter(None, map(_ADDRESS.search, reversed(self.lines))), None)
        if found is None:
            return False
        try:
            with urlopen(f"{found[0]}/readyz", timeout=20) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, and wait for that."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        code = await self.process.wait()
        await asyncio.gather(*self._reading)
        return code

    def limit_file_size(self, size: int | None) -> None:
        """From now on no file of the collector can grow beyond a size, as on a full disk; None: it can."""
        assert self.process is not None
        most = resource.RLIM_INFINITY if size is None else size
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    def publish(self, count: int = 1) -> None:
        """Requests end now."""
        for _ in range(count):
            now = datetime.now(UTC)
            made = record(len(self.published), now, self._rng)
            self.published[made["request_id"]] = now.timestamp()
            self.gateway.queue.publish(encoded(made))

    async def publishing(self) -> None:
        """Requests end at the rate, until `quiet`."""
        began, done = time.monotonic(), 0
        while not self._stop.is_set():
            due = int((time.monotonic() - began) * self.rate)
            self.publish(due - done)
            done = due
            await asyncio.sleep(0.005)

    def quiet(self) -> None:
        """No request ends any more."""
        self._stop.set()

    async def settled(self, seconds: float = 60.0) -> None:
        """Until nothing waits: not in the gateway, not in the inbox. Raises: TimeoutError."""
        async with asyncio.timeout(seconds):
            still = 0
            while still < 4:
                await asyncio.sleep(0.25)
                quiet = bool(self.gateway.queue.subscribers) or self.transport in ("resp", "http")
                still = still + 1 if quiet and not len(self.gateway.queue) and not self._pending() else 0

    def _pending(self) -> int:
        path = self.folder / "inbox.db"
        if not path.exists():
            return 1
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) as connection:
            try:
                (count,) = connection.execute("SELECT count(*) FROM items WHERE state = 0").fetchone()
            finally:
                pass
        connection.close()
        return int(count)

    def verdict(self, began: float) -> Verdict:
        """What became of everything, at the end.

        Args:
            began: epoch seconds.
        """
        engine = store.reader(store.sqlite_url(self.folder / "usage.db"))
        with engine.connect() as connection:
            assert inspect(connection).has_table("request_logs")
            ids = connection.execute(select(request_logs.c.request_id)).scalars().all()
            since = datetime.fromtimestamp(began - 3_600, UTC)
            gaps = stored_gaps.between(connection, since, datetime.now(UTC))
        times = Counter(ids)
        missing = tuple(sorted(self.published.keys() - times.keys()))
        now = time.time()
        ends = [gap.ended_at.timestamp() if gap.ended_at else now for gap in gaps]
        spans = [(gap.began_at.timestamp(), end) for gap, end in zip(gaps, ends, strict=True)]
        return Verdict(
            published=len(self.published),
            stored=len(times),
            twice=tuple(sorted(name for name, number in times.items() if number > 1)),
            missing=missing,
            unexplained=tuple(name for name in missing if not _within(self.published[name], spans)),
            gaps=gaps,
            gap_seconds=sum(end - start for start, end in spans),
            seconds=now - began,
        )


def _within(moment: float, spans: Sequence[tuple[float, float]]) -> bool:
    return any(start <= moment <= end for start, end in spans)


def reasons(gaps: Sequence[GatewayGap]) -> Mapping[str, int]:
    """How often each happened."""
    return Counter(gap.reason for gap in gaps)


async def under_fire(campaign: Campaign, kills: int, *, restarts: float = 0.0) -> Verdict:
    """Kill the collector at random moments while requests end all the time.

    Args:
        restarts: the chance that the gateway is restarted after a kill, or its connections break.
    """
    rng = random.Random(campaign.seed + 1)
    began = time.time()
    await campaign.start()
    publishing = asyncio.create_task(campaign.publishing())
    try:
        if restarts:  # what a gateway forgets before anybody ever came is nobody's gap
            await _ready(campaign)
            await asyncio.sleep(2)
        for _ in range(kills):
            if rng.random() < 0.8:  # else it is killed while it starts
                await _ready(campaign)
            await asyncio.sleep(rng.uniform(0, 1.5))
            await campaign.end(signal.SIGKILL)
            await campaign.start()
            chance = rng.random()
            if chance < restarts:
                await campaign.gateway.restart(rng.uniform(0, 0.5))
            elif chance < restarts * 2:
                campaign.gateway.drop()
        await _ready(campaign)
        await asyncio.sleep(1)
        campaign.quiet()
        await publishing
        await campaign.settled()
    finally:
        publishing.cancel()
        code = await campaign.end()
    assert code == 0
    return campaign.verdict(began)


async def _ready(campaign: Campaign, seconds: float = 60.0) -> None:
    """Until the collector, started a moment ago, says that nothing is in the way of events: from then on none
    is missing."""
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(campaign.is_ready):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the collector does not get ready: {campaign.lines[-3:]}")
        await asyncio.sleep(0.05)
