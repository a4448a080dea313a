"""Which account a conversation stays with, so that the provider's prompt cache keeps working."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

MAX_CONVERSATIONS = 10_000
LOOK_AGAIN_SECONDS = 10.0
"""How long what another process decided may go unnoticed: a conversation is rarely in two processes."""


class Sticky(Protocol):
    """Remembers the account of conversations. Times are epoch seconds."""

    async def find(self, key: str, now: float) -> str | None:
        """The account that a conversation used last; None where it is new or forgotten."""

    def keep(self, key: str, account_id: str, now: float) -> None:
        """The conversation uses this account now."""


def sticky_key(prompt_cache_key: str | None, session: str | None) -> str | None:
    """The key of a request's conversation: a digest, as callers may put anything into it.

    Args:
        prompt_cache_key: of the request's body; it goes before the session.
        session: of the request's headers.
    """
    named = ("cache", prompt_cache_key) if prompt_cache_key else ("session", session)
    if not named[1]:
        return None
    return hashlib.sha256(f"{named[0]}\0{named[1]}".encode("utf-8", "replace")).hexdigest()


class Memory:
    """Conversations of this process alone.

    Args:
        seconds: how long one is remembered unused.
    """

    def __init__(self, seconds: float, most: int = MAX_CONVERSATIONS) -> None:
        self._seconds = seconds
        self._most = most
        self._kept: OrderedDict[str, tuple[str, float]] = OrderedDict()

    async def find(self, key: str, now: float) -> str | None:
        return self.look(key, now, self._seconds)

    def look(self, key: str, now: float, seconds: float) -> str | None:
        """The account of a conversation that was used in the last seconds."""
        account, at = self._kept.get(key, (None, 0.0))
        return account if now - at < seconds else None

    def keep(self, key: str, account_id: str, now: float) -> None:
        self._kept[key] = (account_id, now)
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)


class Shared:
    """Conversations that all processes share through the ledger, looked up in memory first.

    Args:
        look_up: reads the account of a key from the ledger; None where it is new or forgotten.
        store: takes key, account and epoch seconds; must not block.
    """

    def __init__(
        self, look_up: Callable[[str], Awaitable[str | None]], store: Callable[[str, str, float], None]
    ) -> None:
        self._look_up = look_up
        self._store = store
        self._near = Memory(LOOK_AGAIN_SECONDS)

    async def find(self, key: str, now: float) -> str | None:
        found = await self._near.find(key, now)
        return found if found is not None else await self._look_up(key)

    def keep(self, key: str, account_id: str, now: float) -> None:
        self._near.keep(key, account_id, now)
        self._store(key, account_id, now)
