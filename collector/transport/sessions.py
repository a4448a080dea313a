"""Collecting from one gateway by one way, until that ends: with an error, or because it is time to stop.

What they have in common: everything is committed before more is asked for, and whatever may have been lost
is recorded as a gap before anything else is done.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from collector.errors import AnswerLost, GatewayError, NotRedis, Unreachable, Unsupported
from collector.inbox import Transport
from collector.intake import Intake, ended_at
from collector.status import Status
from collector.transport.login import Login
from collector.transport.management import Management, pause
from collector.transport.resp import Connection, ErrorReply, Value, pop

PING_SECONDS = 5.0
CONTROL = (b'{"refresh":true}', b'{"support_refresh":true}')
GATHER_SECONDS = 0.05
"""How long a message of a thin flow waits for others: to wake up and to commit costs more than an event."""

THIN = 64
"""Fewer messages at once are a thin flow; the gateway cuts off whoever lets 256 wait there."""

MAX_BATCH = 2_000
"""Messages of one commit."""


@dataclass(slots=True)
class Line:
    """What a session needs of its gateway.

    Attributes:
        refresh: set when the gateway says that its accounts or settings have changed.
        resumed: set when everything that the queue held is here.
        stop: set when it is time to stop.
    """

    url: str
    login: Login
    intake: Intake
    status: Status
    management: Management
    batch: int
    poll_seconds: float
    max_waiting: int
    tls: ssl.SSLContext | None = None
    retention: float = 60.0
    clock: Callable[[], float] = time.time
    refresh: asyncio.Event = field(default_factory=asyncio.Event)
    resumed: asyncio.Event = field(default_factory=asyncio.Event)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def first(self) -> Connection:
        """The connection that collecting begins with. Raises: GatewayError; then nothing was handed out."""
        try:
            return await self.connect()
        except GatewayError:
            await self.intake.untouched()
            raise

    async def connect(self) -> Connection:
        """A connection that is logged in. Raises: GatewayError."""
        parts = urlsplit(self.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        connection = await Connection.open(parts.hostname or "", port, self.tls)
        try:
            await self.login.authenticate(connection)
        except BaseException:
            connection.close()
            raise
        return connection


class Drain:
    """Takes everything that the queue holds, batch by batch.

    Attributes:
        oldest, newest: when the first and the last event of all that was taken ended.
    """

    def __init__(
        self, line: Line, transport: Transport, take: Callable[[int], Awaitable[list[bytes]]]
    ) -> None:
        self._line = line
        self._transport = transport
        self._take = take
        self.oldest: float | None = None
        self.newest: float | None = None

    async def __call__(self) -> float | None:
        """Until a batch is not full; returns the moment up to which everything was taken, or None where it
        was time to stop before.

        Raises: AnswerLost, after what had come whole is committed and the gap recorded; GatewayError.
        """
        while True:
            asked_at = self._line.clock()
            try:
                raws = await self._take(self._line.batch)
            except AnswerLost as error:
                await self._line.intake.keep(self._transport, error.salvaged)
                await self._line.intake.broken("answer_lost")
                raise
            full = len(raws) >= self._line.batch
            if raws:
                self.oldest = ended_at(raws[0]) if self.oldest is None else self.oldest
                self.newest = ended_at(raws[-1])
            await self._line.intake.keep(self._transport, raws, sound=None if full else asked_at)
            if not full:
                return asked_at
            if self._line.stop.is_set():
                await self._line.intake.interrupted(self.oldest, self.newest, self._line.retention)
                return None


async def poll(line: Line, transport: Transport, *, until: float | None = None) -> None:
    """Ask for events again and again: by RESP, or by HTTP.

    Args:
        until: epoch seconds at which a better way is to be tried.
    Raises: GatewayError.
    """
    connection: Connection | None = None
    if transport == "resp":
        connection = opened = await line.first()

        async def take(count: int) -> list[bytes]:
            return await pop(opened, "usage", count)

    else:
        take = line.management.pop
    try:
        drain = Drain(line, transport, take)
        since = await drain()
        if since is None:
            return
        await line.intake.resumed(since, drain.oldest, line.retention)
        line.status.collecting(transport)
        line.resumed.set()
        while not await pause(line.stop, line.poll_seconds):
            await drain()
            if until is not None and line.clock() >= until:
                break
        await line.intake.stopped()
    except AnswerLost:
        raise
    except GatewayError:
        await line.intake.stopped()  # between two answers nothing is under way
        raise
    finally:
        if connection is not None:
            connection.close()


async def subscribe(line: Line) -> None:
    """Receive events as they happen, and take what the queue held before. Raises: GatewayError."""
    connection = await line.first()
    try:
        since = line.clock()
        answer = await connection.call("SUBSCRIBE", "usage")
        if isinstance(answer, ErrorReply):
            await line.intake.untouched()
            raise Unsupported(f"the gateway does not know SUBSCRIBE: {answer.text}")
        if not (isinstance(answer, list) and answer[:1] == [b"subscribe"]):
            raise NotRedis("SUBSCRIBE was not answered as Redis does")
        await _Subscription(line, connection, since).run()
    finally:
        connection.close()


class _Subscription:
    """
    Args:
        since: when it was asked for.
    """

    def __init__(self, line: Line, connection: Connection, since: float) -> None:
        self._line = line
        self._since = since
        self._connection = connection
        self._waiting: deque[bytes | float] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._pings: deque[float] = deque()
        self._proven: float | None = None
        self._ponged = asyncio.Event()
        self._ended = False
        self._was_full = False

    async def run(self) -> None:
        """Raises: GatewayError."""
        commit = asyncio.create_task(self._commit())
        read, ping, begin = (
            asyncio.create_task(step) for step in (self._read(), self._ping(), self._begin())
        )
        stop = asyncio.create_task(self._line.stop.wait())
        work = (begin, read, ping)
        try:
            await self._until_one_ends({stop, commit, read, ping, begin}, begin)
            in_order = self._line.stop.is_set() and not (read.done() or ping.done())
            if in_order:
                await asyncio.wait([begin])
            left = await self._leave(read) if in_order else None
        finally:
            for task in (stop, *work):
                task.cancel()
            await asyncio.gather(stop, *work, return_exceptions=True)
            self._ended = True
            self._arrived.set()
        await commit
        failure = _first_error(work)
        if left is not None:
            await self._line.intake.stopped(left[1])
            await self._line.intake.lost("stop", *left)
            return
        await self._line.intake.broken("overflow" if self._was_full else "disconnected")
        raise failure or Unreachable("the subscription ended")

    @staticmethod
    async def _until_one_ends(tasks: set[asyncio.Task[Any]], begin: asyncio.Task[None]) -> None:
        """Wait until a task ends that should not; `begin` may, when it succeeds."""
        while True:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if done != {begin} or begin.cancelled() or begin.exception() is not None:
                return
            tasks = tasks - {begin}

    async def _begin(self) -> None:
        """Take what the queue held before the subscription; from then on nothing is missing."""
        connection = await self._line.connect()
        try:
            drain = Drain(self._line, "resp", lambda count: pop(connection, "usage", count))
            if await drain() is None:
                return
        finally:
            connection.close()
        await self._line.intake.resumed(self._since, drain.oldest, self._line.retention)
        self._line.status.collecting("subscribe")
        self._line.resumed.set()

    async def _read(self) -> None:
        while True:
            await self._room.wait()
            values = await self._connection.receive_all()
            for value in values:
                self._receive(value)
            if len(values) < THIN and not self._line.stop.is_set():
                await asyncio.sleep(GATHER_SECONDS)  # what comes is taken off the socket, and wakes nobody

    def _receive(self, value: Value) -> None:
        if not isinstance(value, list) or not value:
            return
        if value[0] == b"message" and len(value) == 3 and isinstance(value[2], bytes):
            if value[2] in CONTROL:
                self._line.refresh.set()
            else:
                self._put(value[2])
        elif value[0] == b"pong" and self._pings:
            # The gateway answers a ping without looking whether messages wait. Those that waited at one
            # ping are out by the next: what was handed out before the last but one is all here.
            sent = self._pings.popleft()
            if self._proven is not None:
                self._put(self._proven)
            self._proven = sent
            self._ponged.set()

    def _put(self, entry: bytes | float) -> None:
        self._waiting.append(entry)
        self._arrived.set()
        if len(self._waiting) >= self._line.max_waiting:
            self._was_full = True
            self._room.clear()

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(PING_SECONDS)
            if len(self._pings) >= 6:
                raise Unreachable(f"PING was not answered in {6 * PING_SECONDS:.0f} s")
            self._pings.append(self._line.clock())
            await self._connection.send("PING")

    async def _commit(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                raws, sound = self._batch()
                await self._line.intake.keep("subscribe", raws, sound=sound)
                if len(self._waiting) < self._line.max_waiting // 2:
                    self._room.set()
            if self._ended:
                return

    def _batch(self) -> tuple[Sequence[bytes], float | None]:
        raws: list[bytes] = []
        sound: float | None = None
        while self._waiting and len(raws) < MAX_BATCH:
            entry = self._waiting.popleft()
            if isinstance(entry, float):
                sound = entry
            else:
                raws.append(entry)
        return raws, sound

    async def _leave(self, reading: asyncio.Task[None]) -> tuple[float, float] | None:
        """End the subscription in order. What the gateway has for us at that moment it throws away, so the
        moment counts as a gap; None where it does not answer any more."""
        try:
            async with asyncio.timeout(3):
                began = await self._two_pings()
                await self._connection.send("UNSUBSCRIBE")
                await asyncio.wait([reading])  # the gateway closes the connection behind its answer
        except (TimeoutError, GatewayError):
            return None
        return began, self._line.clock()

    async def _two_pings(self) -> float:
        """Returns the moment up to which everything is here then."""
        first = self._line.clock()
        for _ in range(2):
            sent = self._line.clock()
            self._pings.append(sent)
            await self._connection.send("PING")
            while self._proven is None or self._proven < sent:
                self._ponged.clear()
                await self._ponged.wait()
        return first


def _first_error(tasks: Sequence[asyncio.Task[None]]) -> GatewayError | None:
    """What went wrong; an error that is none of a gateway's is a mistake of ours, and goes up."""
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            if not isinstance(error, GatewayError):
                raise error
            return error
    return None
