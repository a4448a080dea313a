"""The tap of a stream of events: what may carry counts is read as it passes, the last events at the end."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice

from proxy.metering.framing import (
    Blocks,
    after_events,
    after_lines,
    events,
    newest_first,
    with_match,
    with_plain_ends,
)
from proxy.metering.quota import MARK
from proxy.metering.sieve import Sieve, token_pattern
from proxy.metering.usage import CLOSED, NOTHING, Report, read_answer, report_over

HEAD_KEPT = 16 * 1024
TAIL_KEPT = 16 * 1024
"""Bytes of a stream's beginning and end that are kept; the end is longer where its last event is."""

CHUNK_KEPT = 64 * 1024
"""Bytes of one chunk of that beginning, and of those in which the first token is looked for."""

MAX_EVENT = 16 * 1024 * 1024
"""Bytes of one event that are kept; a longer one is sieved."""

LAST_EVENTS = 16
"""Events from the end that are read in any case: errors and closing markers, and counts without a name."""

_FIRST_EVENTS = 3
"""Events among which that is which tells the response's id: what Codex is told of its quota comes first."""

_MARKER = b'"usage'
_COUNTS = re.compile(rb'"usage\w*"\s*:\s*\{')
_NULL = re.compile(rb'"usage"\s*:\s*null')
COUNTS_WITHIN = 4 * 1024
"""Bytes at the end of a block where the counts are looked for first, in a stream whose events say that they
have none: looking through such a block takes longer than all else that is done with it."""

_QUOTA = re.compile(re.escape(MARK))
_DONE = b"[DONE]"
_SEAM = 200
"""Bytes in which the first token may be cut."""


class EventTap:
    """For a stream of events.

    Args:
        lines: each event is a line of JSON.
    """

    streams = True

    def __init__(self, api: str, *, lines: bool = False) -> None:
        self._api = api
        self._lines = lines
        self._between = b"\n" if lines else b"\n\n"
        self._blocks = Blocks(after_lines if lines else after_events)
        self._head: list[bytes] = []
        self._head_size = 0
        self._last: deque[bytes] = deque()
        self._last_size = 0
        self._sieve: Sieve | None = None
        self._report = NOTHING
        self._token = token_pattern(api)
        self._edge = b""
        self.quota_events: list[bytes] = []
        self.first_token_seen = False

    def feed(self, chunk: bytes) -> None:
        if not self.first_token_seen:
            self._look_for_token(chunk)
        if self._head_size < HEAD_KEPT:
            self._head.append(chunk)
            self._head_size += len(chunk)
        blocks = self._blocks
        if not blocks.rest and chunk.endswith(b"\n\n"):
            self._take(chunk)
            return
        if self._sieve:
            self._sieve.feed(chunk)
        if whole := blocks.feed(chunk):
            self._take(whole)
        if blocks.size > MAX_EVENT:
            self._begin_sieve()

    def end(self) -> Report:
        rest = b"".join(self._blocks.rest)
        if rest:
            self._blocks.clear()
            self._take(rest)
        elif self._sieve:
            self._end_sieve()
        report = self._read_last(self._report)
        if self._api == "responses":
            head = b"".join([chunk[:CHUNK_KEPT] for chunk in self._head])
            self._look_for_quota(head)
            if report.response_id is None:  # cut before its end, it may be read again by its id
                for data in islice(events(head), _FIRST_EVENTS):
                    report = report_over(report, self._read(data))
        return report

    def _look_for_token(self, chunk: bytes) -> None:
        edge, search = self._edge, self._token.search
        if search(chunk, 0, CHUNK_KEPT) or (edge and search(edge + chunk[:_SEAM])):
            self.first_token_seen = True
        else:
            self._edge = (edge + chunk[-_SEAM:])[-_SEAM:]

    def _take(self, block: bytes) -> None:
        """A block of whole events."""
        if self._sieve:
            self._end_sieve()
        if (at := block.find(_MARKER)) >= 0:
            plain = with_plain_ends(block)
            self._report = self._read_counts(plain, at if plain is block else 0)
        self._last.append(block)
        self._last_size += len(block)
        while self._last_size - len(self._last[0]) >= TAIL_KEPT:
            self._last_size -= len(self._last.popleft())

    def _read_counts(self, block: bytes, at: int) -> Report:
        """What is known with the counts in a block, of which the first may stand at a place."""
        late = len(block) - COUNTS_WITHIN
        if at < late and self._api == "chat_completions" and _NULL.match(block, at):
            found = self._read_from(block, late, NOTHING)
            if _is_complete(found):  # by itself: what was known before may be of another answer
                return found if self._report is NOTHING else self._read_from(block, late, self._report)
        return self._read_from(block, at, self._report)

    def _read_from(self, block: bytes, at: int, report: Report) -> Report:
        for piece in with_match(block, _COUNTS, at, self._between):
            for data in self._data(piece):
                report = report_over(self._read(data), report)
        return report

    def _begin_sieve(self) -> None:
        if self._sieve is None:
            self._sieve = Sieve(self._api)
            for chunk in self._blocks.rest:
                self._sieve.feed(chunk)
        self._blocks.rest = self._blocks.rest[-1:]  # where the event ends may be seen by its last bytes

    def _end_sieve(self) -> None:
        assert self._sieve is not None
        self._report = report_over(self._sieve.end(), self._report)
        self._sieve = None

    def _read_last(self, report: Report) -> Report:
        """What the last events add. They are read from the newest on: what a newer one says holds."""
        last = NOTHING
        for data in islice(self._newest_first(), LAST_EVENTS):
            if _COUNTS.search(data):  # it was read as it passed
                break
            last = report_over(last, self._read(data))
            if last.said is not None and last.model:
                break
        return report_over(last, report)

    def _newest_first(self) -> Iterator[bytes]:
        for block in reversed(self._last):
            for piece in newest_first(with_plain_ends(block), self._between):
                yield from self._data(piece)

    def _data(self, piece: bytes) -> Iterable[bytes]:
        if not self._lines:
            return events(piece)
        return (piece,) if piece.strip() else ()

    def _look_for_quota(self, head: bytes) -> None:
        """Only Codex' own streams tell of quota."""
        for part in (head, b"".join(self._last)):
            if MARK in part:
                for piece in with_match(with_plain_ends(part), _QUOTA):
                    self.quota_events += events(piece)

    def _read(self, data: bytes) -> Report:
        if data == _DONE:
            return CLOSED
        return read_answer(data, self._api)


def _is_complete(report: Report) -> bool:
    """Whether nothing that an earlier event counted could add to it."""
    said = report.said
    return bool(said and said.input and said.output and said.read is not None and report.model)
