"""The way into a gateway: its key, and never more than one try a minute once it was refused.

Five wrong keys ban the whole address for half an hour, whoever else uses it; each login that is right costs
the gateway a slow hash. Commands before a login count as wrong keys, so nothing is ever sent before one.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from collector.errors import (
    Banned,
    GatewayError,
    HomeMode,
    KeyMissing,
    LoginRefused,
    LoginWaits,
    ManagementOff,
    NotRedis,
)
from collector.inbox import Inbox
from collector.state import Refusals, load_refusals, save_refusals
from collector.transport.resp import Connection, ErrorReply

FIRST_WAIT = 60.0
LONGEST_WAIT = 1_860.0
"""A little more than a ban."""

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")


class Login:
    """One gateway's key and its refusals.

    Args:
        reference: env:NAME or file:PATH; it is read again for each login.
    """

    def __init__(
        self,
        gateway: str,
        reference: str,
        inbox: Inbox,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._gateway = gateway
        self._reference = reference
        self._inbox = inbox
        self._environ = environ
        self._clock = clock
        self._refusals: Refusals | None = None
        self._refused_key: str | None = None
        self._banned_until = 0.0
        self._one = asyncio.Lock()

    @property
    def lock(self) -> asyncio.Lock:
        """Held while a login is under way: a second one waits until it is known how the first ended."""
        return self._one

    async def key(self) -> str:
        """The key, where it may be tried now. Raises: KeyMissing, LoginWaits."""
        if self._refusals is None:
            self._refusals = await asyncio.to_thread(load_refusals, self._inbox, self._gateway)
        key = self._read()
        refusals, now = self._refusals, self._clock()
        until = self._banned_until
        if refusals.count:
            same = self._refused_key in (None, key)
            pause = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (refusals.count - 1)) if same else FIRST_WAIT
            until = max(until, refusals.last_at + pause)
        if now < until:
            raise LoginWaits(
                f"the key of collector.gateways.{self._gateway} was refused; next try in {until - now:.0f} s",
                min(until, now + FIRST_WAIT),  # another key may be there then
            )
        return key

    async def accepted(self) -> None:
        self._banned_until, self._refused_key = 0.0, None
        if self._refusals is None or self._refusals.count:
            await self._remember(Refusals())

    async def refused(self, key: str, error: GatewayError) -> None:
        before = self._refusals or Refusals()
        self._refused_key = key
        if isinstance(error, Banned):
            self._banned_until = self._clock() + error.seconds + 1
            return
        await self._remember(Refusals(before.count + 1, self._clock()))

    async def authenticate(self, connection: Connection) -> None:
        """Log a new connection in. Raises: GatewayError."""
        async with self._one:
            key = await self.key()
            answer = await connection.call("AUTH", key)
            if not isinstance(answer, ErrorReply):
                if answer != "OK":
                    raise NotRedis("AUTH was not answered with OK: no usage queue answers there")
                await self.accepted()
                return
            error = refusal(answer.text, self._gateway)
            if isinstance(error, LoginRefused | Banned):
                await self.refused(key, error)
            raise error

    def _read(self) -> str:
        kind, _, place = self._reference.partition(":")
        where = f"collector.gateways.{self._gateway}.key = {self._reference}"
        if kind == "env":
            key = self._environ.get(place, "").strip()
        else:
            try:
                key = Path(place).expanduser().read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError, RuntimeError) as error:
                raise KeyMissing(
                    f"{where}: cannot be read: {getattr(error, 'strerror', None) or error}"
                ) from None
        if not key:
            raise KeyMissing(f"{where}: it is empty")
        return key

    async def _remember(self, refusals: Refusals) -> None:
        self._refusals = refusals

        def save() -> None:
            with self._inbox.transaction() as connection:
                save_refusals(connection, self._gateway, refusals)

        await asyncio.to_thread(save)


def refusal(text: str, gateway: str) -> GatewayError:
    """What a gateway means by refusing a login, by RESP or by HTTP."""
    words = text.removeprefix("ERR ").strip()
    lowered = words.casefold()
    if "home mode" in lowered:
        return HomeMode("this node is governed by a Home, which publishes in its place: collect there")
    if "banned" in lowered:
        seconds = ban_seconds(lowered)
        return Banned(
            f"the gateway bans our address for {seconds:.0f} s: too many wrong keys came from it", seconds
        )
    if "remote management disabled" in lowered:
        return ManagementOff(
            "the gateway allows no management from this address; set remote-management.allow-remote"
        )
    if "key not set" in lowered:
        return ManagementOff("the gateway has no management key; set remote-management.secret-key there")
    return LoginRefused(f"the gateway refuses the key of collector.gateways.{gateway}.key")


def ban_seconds(text: str) -> float:
    """How long a ban lasts, as its message says (`Try again in 29m59s`); else half an hour."""
    found = _DURATION.fullmatch(text.rpartition(" in ")[2].strip())
    if not found or not any(found.groups()):
        return 1_800.0
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return hours * 3_600 + minutes * 60 + seconds
