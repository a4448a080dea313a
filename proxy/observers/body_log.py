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
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ledger.privacy import MIN_SECRET
from proxy.errors import BodyLogError
from proxy.http.caller_secrets import HIDDEN, NO_SECRETS, Secrets, carries_secret, redacted_target

log = logging.getLogger("quotascope.body_log")

MAX_BODY = 16 * 1024 * 1024
"""Bytes of one body that are kept; a longer one is cut and says so."""

MAX_WAITING = 1_000
"""Entries that wait to be written."""

MAX_WAITING_BYTES = 256 * 1024 * 1024
"""Of their bodies: a disk that is slow must not cost the memory of all requests."""

CLOSE_SECONDS = 10.0

Headers = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is written of one request or answer.

    Attributes:
        size: of the whole body, of which `body` may be the beginning.
        secrets: what is left out of it.
    """

    head: Mapping[str, Any]
    body: bytes
    size: int
    secrets: Sequence[str] = ()

    def line(self) -> str:
        """The entry as JSON."""
        body = self.body
        for secret in self.secrets:
            if len(secret) >= MIN_SECRET:
                body = body.replace(secret.encode("utf-8", "surrogateescape"), HIDDEN.encode())
        cut = {"truncated_from_bytes": self.size} if self.size > len(self.body) else {}
        fields: dict[str, Any]
        try:
            fields = {"body": body.decode("utf-8")}
        except UnicodeDecodeError:
            fields = {"body_base64": base64.b64encode(body).decode("ascii")}
        return json.dumps({**self.head, **fields, **cut}, ensure_ascii=False)


class Record:
    """One exchange as it passes: two entries, one when the request is complete and one for the answer."""

    def __init__(self, owner: BodyLog, exchange_id: str, secrets: Secrets) -> None:
        self._owner = owner
        self._id = exchange_id
        self._secrets = secrets
        self._head: dict[str, Any] = {}
        self._chunks: list[bytes] = []
        self._size = 0

    def request(self, method: str, target: str, headers: Headers) -> None:
        """The request's head; its body follows in `feed`."""
        shown = redacted_target(target)
        self._begin({"event": "request", "method": method, "target": shown, "headers": redacted(headers)})

    def response(self, status: int, headers: Headers) -> None:
        """The answer's head: ends the request's entry; the answer's body follows in `feed`."""
        self.end()
        self._begin({"event": "response", "status": status, "headers": redacted(headers)})

    def feed(self, chunk: bytes) -> None:
        """Bytes of the body."""
        room = MAX_BODY - self._size
        self._size += len(chunk)
        if room > 0:
            self._chunks.append(chunk[:room])

    def end(self) -> None:
        """Hand the entry over; once it is handed over, this does nothing."""
        if self._head:
            self._owner.put(Entry(self._head, b"".join(self._chunks), self._size, self._secrets()))
            self._head = {}

    def _begin(self, head: dict[str, Any]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._head, self._chunks, self._size = {"time": now, "id": self._id, **head}, [], 0


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
        self._entries: queue.Queue[Entry | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="body-log", daemon=True)
        self._thread.start()
        self.dropped = 0
        self._told = 0
        self._taken = self._written = 0  # bytes of bodies, each counted by one thread alone

    def new_losses(self) -> int:
        """Entries dropped since this was last asked."""
        new, self._told = self.dropped - self._told, self.dropped
        return new

    def record(self, exchange_id: str, secrets: Secrets = NO_SECRETS) -> Record:
        """A record for one exchange, without its secrets."""
        return Record(self, exchange_id, secrets)

    def put(self, entry: Entry) -> None:
        """Write an entry soon, or drop it."""
        if self._taken - self._written + len(entry.body) > MAX_WAITING_BYTES:
            self._drop()
            return
        try:
            self._entries.put_nowait(entry)
            self._taken += len(entry.body)
        except queue.Full:
            self._drop()

    def close(self) -> None:
        """Write what waits and close the file; a disk that takes nothing more is not waited for."""
        with suppress(queue.Full):
            self._entries.put(None, timeout=CLOSE_SECONDS)
        self._thread.join(CLOSE_SECONDS)
        if not self._thread.is_alive():
            self._file.close()

    def _run(self) -> None:
        while (entry := self._entries.get()) is not None:
            try:
                self._file.write(entry.line() + "\n")
                self._file.flush()
            except (OSError, ValueError):
                self._drop()
            self._written += len(entry.body)

    def _drop(self) -> None:
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:  # 1, 2, 4, 8, ...: a flood must not flood the log
            log.warning("the body log cannot keep up: %d entries dropped so far", self.dropped)


def redacted(headers: Headers) -> list[tuple[str, str]]:
    """Headers with the values of those that carry secrets taken out."""
    return [(name, HIDDEN if carries_secret(name, value) else value) for name, value in headers]
