"""The ledger as the screen sees it: whether it has changed, questions, and what a person does to accounts."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, func, select

from console.actions import ACTIONS, ORIGIN
from console.store import Ledger
from ledger.errors import StoreError
from ledger.pricing.prices import PriceBook
from ledger.schema import request_rows, usage_history, versions
from ledger.state import is_there, missing
from settings.model import Settings

T = TypeVar("T")

SERVER_SECONDS = 1.0
"""How often a server is asked whether something has changed; a file is only looked at."""

WHOLE_SECONDS = 10.0
"""After so long a server's ledger counts as changed: of a row that was corrected no number grows."""

HEADER, INDEX_HEADER = 100, 48
"""Bytes at the beginning of a SQLite file, and of the index of its WAL, that change with every commit."""

State = object
"""What a ledger looked like; equal ones mean that nothing was written in between."""


class Source:
    """One ledger, for as long as the screen is open. It takes no lock that a proxy would wait for."""

    def __init__(self, settings: Settings) -> None:
        """Raises: StoreError, PriceError."""
        self._ledger = Ledger(settings, checked=True)
        self._asked_at = float("-inf")
        self._state: State = None

    @property
    def book(self) -> PriceBook:
        return self._ledger.book

    async def state(self) -> State:
        """What the ledger looks like now. Raises: StoreError where a server cannot be asked."""
        url = self._ledger.url
        if url.get_backend_name() == "sqlite":
            return _file_state(Path(url.database or ""))
        now = time.monotonic()
        if now - self._asked_at >= SERVER_SECONDS:
            self._asked_at = now
            self._state = (int(now / WHOLE_SECONDS), await self._ledger.ask(_numbers))
        return self._state

    async def ask(self, question: Callable[[Connection, PriceBook], T]) -> T:
        """The answer to a question. Raises: StoreError with one line for a person, and what the question
        raises."""
        if not is_there(self._ledger.url):
            raise missing(self._ledger.url)
        return await self._ledger.ask(question)

    async def act(self, action: str, account: str) -> None:
        """Do to an account what a person asked for. Raises: LedgerError; then nothing has changed."""
        if not is_there(self._ledger.url):
            raise missing(self._ledger.url)
        change, now, who = ACTIONS[action], datetime.now(UTC), _user()
        await self._ledger.change(lambda connection: change(connection, account, now, ORIGIN, who))

    def close(self) -> None:
        self._ledger.close()


def _file_state(path: Path) -> State:
    """The file's number and the counters in its headers; without locks, and without opening a database."""
    try:
        found = path.stat()
        with path.open("rb") as file:
            header = file.read(HEADER)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        with path.with_name(path.name + "-shm").open("rb") as file:
            index = file.read(INDEX_HEADER)
    except OSError:
        index = b""
    return found.st_ino, found.st_size, header, index


def _numbers(connection: Connection, _book: PriceBook) -> State:
    rows, samples = select(func.max(request_rows.c.id)), select(func.max(usage_history.c.id))
    told = select(func.sum(versions.c.version))
    return tuple(connection.execute(query).scalar() for query in (rows, samples, told))


def _user() -> str:
    """Who sits at the terminal, as the account's history keeps it."""
    try:
        return getpass.getuser()[:100]
    except (OSError, KeyError):  # a user without a name, as in a container
        return "terminal"
