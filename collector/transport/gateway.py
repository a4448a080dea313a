"""One gateway, collected from for as long as we run: the best way that works, and back to a better one."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping

from collector.accounts import Directory
from collector.errors import Banned, GatewayError, LoginWaits, NotRedis, Unreachable, Unsupported
from collector.inbox import Inbox, Transport
from collector.intake import Intake
from collector.state import Counted, events_of, load_counted, save_counted
from collector.status import PUBLISHING_OFF, Status
from collector.transport.login import Login
from collector.transport.management import Facts, Management, pause
from collector.transport.resp import ErrorReply
from collector.transport.sessions import Line, poll, subscribe
from settings.gateways import Collector
from settings.gateways import Gateway as Table

log = logging.getLogger("quotascope.collector")

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
LASTED_SECONDS = 60.0
"""A session that lasted so long was well: the next pause is a short one again."""

RETURN_SECONDS = 120.0
"""How long a worse way is used before a better one is tried again."""

WATCH_SECONDS = 30.0
SUSPICIOUS = 10
"""Requests that a gateway has counted in the time of a watch, and of which none came to us."""

USUAL_SHARE = 0.2
"""Of what a gateway counts, and does not publish: requests for token counts, streams that a client left."""

WAYS: tuple[Transport, ...] = ("subscribe", "resp", "http")


class Gateway:
    """Collects from one gateway; `run` ends when `stop` is set."""

    def __init__(
        self,
        name: str,
        table: Table,
        collector: Collector,
        inbox: Inbox,
        directory: Directory,
        environ: Mapping[str, str],
        *,
        arrived: Callable[[], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name = name
        self.status = Status(name)
        self._inbox = inbox
        self._directory = directory
        self._ways: tuple[Transport, ...] = WAYS if table.transport == "auto" else (table.transport,)
        self._level = 0
        self._absent = False
        self._lacking = ""
        login = Login(name, table.key, inbox, environ)
        self._line = Line(
            url=table.url,
            login=login,
            intake=Intake(name, inbox, self.status, arrived),
            status=self.status,
            management=Management(table.url, login, name, tls),
            batch=collector.batch_size,
            poll_seconds=collector.poll_seconds,
            max_waiting=collector.max_waiting,
            tls=tls,
        )

    def stop(self) -> None:
        self._line.stop.set()
        self._line.intake.hurry()

    async def run(self) -> None:
        """Until `stop`. Raises: InboxError where what was received could not be stored to the end."""
        self.status.tell("connecting")
        wait = FIRST_PAUSE
        try:
            while not self._line.stop.is_set():
                began = self._line.clock()
                try:
                    await self._session()
                    continue
                except GatewayError as error:
                    self._note(error)
                    if self._line.clock() - began > LASTED_SECONDS:
                        wait = FIRST_PAUSE
                    await pause(self._line.stop, self._pause(error, wait))
                    wait = min(LONGEST_PAUSE, wait * 2)
        finally:
            await self._line.management.close()
            self.status.tell("stopped")

    def _note(self, error: GatewayError) -> None:
        """Say once what is in the way, and take another way where this one cannot work."""
        lacks = isinstance(error, NotRedis | Unsupported)
        known = (self.status.state, self.status.problem) == (error.state, str(error))
        known |= lacks and str(error) == self._lacking  # it is tried again and again
        self._lacking = str(error) if lacks else self._lacking
        if not known and not isinstance(error, LoginWaits):
            log.warning("%s: %s", self.name, error)
        self.status.failed(error)
        if isinstance(error, Unreachable):
            self._absent |= error.refused
        if lacks:
            self._level = min(self._level + 1, len(self._ways) - 1)

    def _pause(self, error: GatewayError, wait: float) -> float:
        if isinstance(error, NotRedis | Unsupported) and len(self._ways) > 1:
            return 0.0 if self._level else wait
        if isinstance(error, LoginWaits):
            return max(1.0, error.until - self._line.clock())
        if isinstance(error, Banned):
            return error.seconds + 1
        return wait

    async def _session(self) -> None:
        line = self._line
        facts = await line.management.facts()
        self._learn(facts)
        await self._refresh()
        counted = await self._count()
        before = await asyncio.to_thread(load_counted, self._inbox, self.name)
        restarted = self._absent or (before is not None and counted.requests < before.requests)
        stopped_at = line.intake.thread.stopped_at
        line.resumed.clear()
        await line.intake.begin(restarted=restarted, retention=line.retention)
        if restarted:
            await line.intake.because("restart")
        self._absent = False
        await asyncio.to_thread(save_counted, self._inbox, self.name, counted)
        way = self._ways[self._level]
        side = [
            asyncio.create_task(step) for step in (self._watch(counted.requests), self._refresh_when_told())
        ]
        if before is not None and stopped_at is not None and line.intake.thread.gap is None:
            side.append(asyncio.create_task(self._look_back(before, stopped_at)))
        if way != "http":
            side.append(asyncio.create_task(self._errors()))
        try:
            await self._collect(way)
        finally:
            for task in side:
                task.cancel()
            await asyncio.gather(*side, return_exceptions=True)

    def _learn(self, facts: Facts) -> None:
        """What the gateway says of itself; that it publishes nothing is said once."""
        published = self.status.publishing
        self._line.retention = facts.retention
        self.status.learnt(facts)
        if published and not self.status.publishing:
            log.warning("%s: %s", self.name, PUBLISHING_OFF)

    async def _collect(self, way: Transport) -> None:
        if way == "subscribe":
            await subscribe(self._line)
            return
        until = self._line.clock() + RETURN_SECONDS if self._level else None
        await poll(self._line, way, until=until)
        self._level = 0  # the best way is tried again; where it still does not work, this one follows at once

    async def _refresh(self) -> None:
        self._directory.listed(self.name, await self._line.management.credentials())

    async def _refresh_when_told(self) -> None:
        while True:
            await self._line.refresh.wait()
            self._line.refresh.clear()
            try:
                await self._refresh()
            except GatewayError as error:
                log.info("%s: its accounts could not be read: %s", self.name, error)
            await asyncio.sleep(1)  # changes come in bursts

    async def _count(self) -> Counted:
        """What the gateway has counted by now. Events are looked at first: none is taken for missing that is
        on its way. Raises: GatewayError."""
        events = await asyncio.to_thread(events_of, self._inbox, self.name)
        return Counted(await self._line.management.counted(), events)

    async def _look_back(self, before: Counted, stopped_at: float) -> None:
        """Whether all that the gateway counted while nobody collected here was in its queue: while anybody
        else subscribes, or asks for it, it is not."""
        await self._line.resumed.wait()
        now = self._line.clock()
        try:
            requests = await self._line.management.counted()
        except GatewayError:
            return  # whoever collects finds out
        events = await asyncio.to_thread(events_of, self._inbox, self.name)
        missing = Counted(requests, events).missing(before)
        few = max(SUSPICIOUS, (requests - before.requests) * USUAL_SHARE)
        if missing >= few and self.status.publishing:
            self.status.second_consumer = (
                f"the gateway counted {requests - before.requests} requests while nobody collected here, and "
                f"{missing} of them never came: something else took them off its queue, or so many streams "
                "of Codex were left by their clients, which it does not publish"
            )
            await self._suspect(stopped_at, now)

    async def _watch(self, counted: int) -> None:
        """Look from time to time whether the gateway publishes, and whether what it counts comes here."""
        received, looked_at, quiet_since = self.status.received, self._line.clock(), counted
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                facts = await self._line.management.facts()
                found = await self._count()
                counted = found.requests
                await self._refresh()
            except GatewayError:
                continue  # whoever collects finds out
            self._learn(facts)
            if self.status.connected:
                self.status.collecting(self.status.transport)
            await asyncio.to_thread(save_counted, self._inbox, self.name, found)
            now = self._line.clock()
            if self.status.received != received or counted < quiet_since:
                self.status.second_consumer = None
            elif counted - quiet_since >= SUSPICIOUS and self.status.publishing:
                self.status.second_consumer = (
                    f"the gateway counted {counted - quiet_since} requests in {now - looked_at:.0f} s and "
                    "none came here: something else takes them off its queue"
                )
                await self._suspect(looked_at, now)
            else:
                continue  # too few to judge by: the time of the watch grows
            received, looked_at, quiet_since = self.status.received, now, counted

    async def _suspect(self, since: float, now: float) -> None:
        log.warning("%s: %s", self.name, self.status.second_consumer)
        await self._line.intake.lost("second_consumer", since, now)

    async def _errors(self) -> None:
        """Receive what the gateway reports of its accounts' failures, where it has that channel."""
        wait = FIRST_PAUSE
        while True:
            try:
                connection = await self._line.connect()
                try:
                    answer = await connection.call("SUBSCRIBE", "errors")
                    if isinstance(answer, ErrorReply):
                        return  # an older version
                    wait = FIRST_PAUSE
                    while True:
                        raws = [
                            value[2]
                            for value in await connection.receive_all()
                            if isinstance(value, list) and len(value) == 3 and value[0] == b"message"
                        ]
                        found = [raw for raw in raws if isinstance(raw, bytes)]
                        await self._line.intake.keep("subscribe", found, channel="errors")
                finally:
                    connection.close()
            except GatewayError:
                await asyncio.sleep(wait)
                wait = min(LONGEST_PAUSE, wait * 2)
