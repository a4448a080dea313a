"""Ending a reading from another thread: at once, whatever it waits for.

A server that has stopped answering never sends an error, and the kernel acknowledges for it that it is
alive; so the socket is shut down from this side. SQLite ends its statement when it is told to.
"""

from __future__ import annotations

import os
import socket
import sqlite3
from contextlib import suppress
from time import monotonic
from typing import Any

from sqlalchemy import Engine, event

from ledger.errors import StoreError


class Interrupting:
    """Knows when a reader last got on, and can end what it is doing.

    Attributes:
        progressed: when a statement last ended, by `time.monotonic`.
    """

    def __init__(self, engine: Engine) -> None:
        self.progressed = monotonic()
        self._ended = False
        self._driver: Any = None
        for moment in ("first_connect", "connect"):  # the first one asks the server who it is
            event.listen(engine, moment, self._connected, insert=True)
        event.listen(engine, "before_cursor_execute", lambda *_: self.check())
        event.listen(engine, "after_cursor_execute", lambda *_: self._got_on())

    def interrupt(self) -> None:
        """End the statement under way, and refuse further ones until `resume`. Called from any thread."""
        self._ended = True
        if isinstance(self._driver, sqlite3.Connection):
            with suppress(sqlite3.ProgrammingError):  # it is closed
                self._driver.interrupt()
        elif self._driver is not None:
            _shut_down(self._driver)

    def resume(self) -> None:
        self._ended = False

    def check(self) -> None:
        """Raises: StoreError after `interrupt`."""
        if self._ended:
            raise StoreError("the reading was ended: it took too long, or the program ends")

    def _connected(self, driver: Any, _record: Any) -> None:
        self._driver = driver

    def _got_on(self) -> None:
        self.progressed = monotonic()


def _shut_down(driver: Any) -> None:
    """Shut down the connection to a server; what waits for it gets an error."""
    with (
        suppress(Exception),  # the driver's own error where the connection is closed already
        socket.socket(fileno=os.dup(driver.fileno())) as shared,
    ):
        shared.shutdown(socket.SHUT_RDWR)
