"""Which errors of a database may be gone later, with the same question, and which never will. Pure."""

from __future__ import annotations

import sqlite3

_SQLITE = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}

_POSTGRESQL = ("08", "40", "53", "55", "57")
"""Classes of PostgreSQL's codes: connections, conflicts, resources, locks, a person's intervention."""

_NEVER = ("22", "23", "54")
"""Values that are out of range or malformed, break a constraint, or are too large."""

_LATER = ("starting up", "shutting down", "recovery", "too many clients", "remaining connection slots")
"""What a server says that takes no connection now."""


def passes(error: BaseException) -> bool:
    """Whether a driver's error speaks of now, and not of what was asked or configured."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _SQLITE
    if type(error).__module__.partition(".")[0] != "psycopg" or type(error).__name__ == "ProgrammingError":
        return False
    code = getattr(error, "sqlstate", None)
    if code is not None:
        return str(code).startswith(_POSTGRESQL)
    text = str(error)  # a connection that was not made: a server that says no has the word FATAL in it
    return type(error).__name__ == "OperationalError" and (
        "FATAL" not in text or any(words in text for words in _LATER)
    )


def refusal(error: BaseException) -> str | None:
    """What a driver calls a value that it will never store; None where the error is another one."""
    if isinstance(error, sqlite3.DataError | sqlite3.IntegrityError | OverflowError | ValueError):
        return type(error).__name__
    if type(error).__module__.partition(".")[0] != "psycopg":
        return None
    code = getattr(error, "sqlstate", None)
    if code is None:  # the driver itself could not write it
        return type(error).__name__ if type(error).__name__ == "DataError" else None
    return f"{type(error).__name__} ({code})" if str(code).startswith(_NEVER) else None
