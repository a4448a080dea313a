"""The opt-in log of request and response bodies: newline-delimited JSON, for debugging alone.

Bodies are kept whole, up to a bound, and written by a thread. When the thread cannot keep up entries are
dropped and counted; a request never waits for its log.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import queue
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from proxy.errors import BodyLogError

log = logging.getLogger("quotascope.body_log")

REDACTED = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie", "set-cookie"})
MOST_BODY = 16 * 1024 * 1024
"""Bytes of one body that are kept; a longer one is cut and says so."""

MOST_WAITING = 1_000
"""Entries that wait to be written."""

Headers = Iterable[tuple[str, str]]


class Record:
    """One exchange as it passes: two entries, one when the request is complete and one for the answer."""

    def __init__(self, owner: BodyLog, exchange_id: str) -> None:
        self._owner = owner
        self._id = exchange_id
        self._head: dict[str, Any] = {}
        self._body = _Body()

    def request(self, method: str, target: str, headers: Headers) -> None:
        """The request's head; its body follows in `feed`."""
        self._begin({"event": "request", "method": method, "target": target, "headers": redacted(headers)})

    def response(self, status: int, headers: Headers) -> None:
        """The answer's head: ends the request's entry; the answer's body follows in `feed`."""
        self.end()
        self._begin({"event": "response", "status": status, "headers": redacted(headers)})

    def feed(self, chunk: bytes) -> None:
        """Bytes of the body."""
        self._body.add(chunk)

    def end(self) -> None:
        """Hand the entry over; once it is handed over, this does nothing."""
        if self._head:
            self._owner.put({**self._head, **self._body.fields()})
            self._head = {}

    def _begin(self, head: dict[str, Any]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._head, self._body = {"time": now, "id": self._id, **head}, _Body()


class _Body:
    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._room = MOST_BODY
        self._size = 0

    def add(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._room > 0:
            self._chunks.append(chunk[: self._room])
            self._room -= len(chunk)

    def fields(self) -> dict[str, Any]:
        whole = b"".join(self._chunks)
        cut = {"truncated_from_bytes": self._size} if self._size > len(whole) else {}
        try:
            return {"body": whole.decode("utf-8"), **cut}
        except UnicodeDecodeError:
            return {"body_base64": base64.b64encode(whole).decode("ascii"), **cut}


class BodyLog:
    """The file and the thread that writes it.

    Raises: BodyLogError where the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.fchmod(descriptor, 0o600)  # also where it was there before
        except OSError as error:
            raise BodyLogError(f"request_log_path {path}: {error.strerror}") from error
        self._file = os.fdopen(descriptor, "w", encoding="utf-8")
        self._entries: queue.Queue[dict[str, Any] | None] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._run, name="body-log", daemon=True)
        self._thread.start()
        self.dropped = 0
        self._told = 0

    def new_losses(self) -> int:
        """Entries dropped since this was last asked."""
        new, self._told = self.dropped - self._told, self.dropped
        return new

    def record(self, exchange_id: str) -> Record:
        """A record for one exchange."""
        return Record(self, exchange_id)

    def put(self, entry: dict[str, Any]) -> None:
        """Write an entry soon, or drop it."""
        try:
            self._entries.put_nowait(entry)
        except queue.Full:
            self._drop()

    def close(self) -> None:
        """Write what waits and close the file."""
        self._entries.put(None)
        self._thread.join(10)
        self._file.close()

    def _run(self) -> None:
        while (entry := self._entries.get()) is not None:
            try:
                self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
                self._file.flush()
            except (OSError, ValueError):
                self._drop()

    def _drop(self) -> None:
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:  # 1, 2, 4, 8, ...: a flood must not flood the log
            log.warning("the body log cannot keep up: %d entries dropped so far", self.dropped)


def redacted(headers: Headers) -> list[tuple[str, str]]:
    """Headers with the values of those that carry secrets taken out."""
    return [(k, "[redacted]" if k.lower() in REDACTED else v) for k, v in headers]
