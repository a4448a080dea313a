"""Live traffic: simulated callers ask a provider, or a proxy before it, at a given rate."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp

from simulator.errors import ScriptError
from simulator.history.fleet import CLIENTS, PROJECTS, SECRETS, busy_caller
from simulator.history.history import ROUTES
from simulator.history.rhythm import busyness
from simulator.history.workload import WORKLOADS, choose

MAX_AT_ONCE = 500
"""Requests under way; beyond it callers are held back, so that a dead proxy does not fill memory."""

GRACE_SECONDS = 5.0
"""How long requests under way may go on after the end."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What callers do.

    Attributes:
        base_url: with `/v1`.
        rate: requests per second; with a rhythm, the mean of a week.
        seconds: how long; None until it is stopped.
        rhythm: the zone whose working hours the rate follows; None keeps it the same.
        streamed: share of the requests that stream.
        impatient: share of the requests whose caller leaves before the answer.
    Raises: ScriptError.
    """

    base_url: str
    rate: float = 3.0
    seconds: float | None = None
    seed: int = 1
    rhythm: ZoneInfo | None = None
    streamed: float = 0.7
    impatient: float = 0.015

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 10_000:
            raise ScriptError(f"rate = {self.rate:g}; allowed: more than 0 and at most 10000 requests/s")
        if self.seconds is not None and self.seconds <= 0:
            raise ScriptError(f"seconds = {self.seconds:g}; allowed: more than 0")


@dataclass(slots=True)
class Tally:
    """How requests ended: `answered` with a 2xx status to the end, `refused` with any other, `left` by
    an impatient caller or at the end of all, `failed` without a whole answer; `reason` is the last
    failure's."""

    answered: int = 0
    refused: int = 0
    left: int = 0
    failed: int = 0
    reason: str = ""

    @property
    def sent(self) -> int:
        return self.answered + self.refused + self.left + self.failed


@dataclass(frozen=True, slots=True)
class Request:
    """One request: path below the base URL, JSON, headers; `patience` in seconds, None for as long as
    it takes."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    patience: float | None


async def run(traffic: Traffic, stop: asyncio.Event) -> Tally:
    """Send traffic until its time is over or `stop` is set; what is under way may end."""
    rng, tally = Random(traffic.seed), Tally()
    under_way: set[asyncio.Task[None]] = set()
    connector = aiohttp.TCPConnector(limit=MAX_AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:
        due = asyncio.get_running_loop().time()
        end = inf if traffic.seconds is None else due + traffic.seconds
        while (due := due + _pause(traffic, rng)) < end and not await _stopped(stop, due):
            if len(under_way) < MAX_AT_ONCE:
                task = asyncio.create_task(_send(session, traffic.base_url, request(traffic, rng), tally))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
        await _finish(under_way)
    return tally


def request(traffic: Traffic, rng: Random) -> Request:
    """One caller's request, drawn at random."""
    workload = rng.choices(WORKLOADS, [w.share for w in WORKLOADS])[0]
    api = choose(workload.apis, rng)
    caller = busy_caller(len(SECRETS), rng)
    body: dict[str, Any] = {"model": workload.model, **_INPUT[api]}
    if api != "embeddings" and rng.random() < traffic.streamed:
        body |= {"stream": True}
        if api == "chat_completions":
            body |= {"stream_options": {"include_usage": True}}
    if workload.tiers:
        body |= {"service_tier": choose(workload.tiers, rng)}
    headers = {"Authorization": f"Bearer {SECRETS[caller]}", "User-Agent": CLIENTS[caller % len(CLIENTS)]}
    if project := PROJECTS[caller]:
        headers |= {"X-Project": project}
    patience = rng.uniform(0.05, 1.0) if rng.random() < traffic.impatient else None
    return Request(ROUTES[api].removeprefix("/v1"), body, headers, patience)


_INPUT: dict[str, dict[str, Any]] = {
    "responses": {"input": "Say something."},
    "chat_completions": {"messages": [{"role": "user", "content": "Say something."}]},
    "embeddings": {"input": ["something"]},
}


def _pause(traffic: Traffic, rng: Random) -> float:
    """Seconds until the next request: callers know nothing of each other."""
    rate = traffic.rate
    if traffic.rhythm is not None:
        rate *= busyness(datetime.now(UTC).astimezone(traffic.rhythm))
    return rng.expovariate(rate)


async def _stopped(stop: asyncio.Event, due: float) -> bool:
    """Wait until a time of the loop's clock, at once where it is past; whether the end came meanwhile."""
    try:
        async with asyncio.timeout_at(due):
            return await stop.wait()
    except TimeoutError:
        return False


async def _send(session: aiohttp.ClientSession, base_url: str, ask: Request, tally: Tally) -> None:
    timeout = aiohttp.ClientTimeout(total=ask.patience)
    try:
        async with session.post(
            base_url + ask.path, json=ask.body, headers=ask.headers, timeout=timeout
        ) as answer:
            await answer.read()
            if answer.ok:
                tally.answered += 1
            else:
                tally.refused += 1
    except TimeoutError:
        tally.left += 1
    except asyncio.CancelledError:
        tally.left += 1
        raise
    except aiohttp.ClientError as error:
        tally.failed += 1
        tally.reason = str(error) or type(error).__name__


async def _finish(under_way: set[asyncio.Task[None]]) -> None:
    if not under_way:
        return
    _, slow = await asyncio.wait(under_way, timeout=GRACE_SECONDS)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
