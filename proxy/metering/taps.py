"""Taps: they see the raw chunks of one answer beside the stream, and say at its end what it reported.

Lines may end in LF, CRLF or CR. Everything stays bytes: a character may be cut between blocks.

A tap never raises and never changes a byte. What it keeps is bounded. Passing bytes are not parsed:
an answer's counts stand in its last event (some APIs put the first ones in its first), so a tap keeps
the two ends of a stream and reads them when it is over, however it ended.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from ledger.values import NO_USAGE
from proxy.http.decode import Decoder, Undecodable, decoder, plain
from proxy.metering.quota import MARK
from proxy.metering.usage import NOTHING, Report, merge, read_answer

_BLANK = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")


def events(block: bytes) -> Iterator[bytes]:
    """The data of each event of a block: its `data:` lines, joined by newlines.

    The last event need not be closed by a blank line.
    """
    odd = b"\r" in block
    for event in _BLANK.split(block) if odd else block.split(b"\n\n"):
        lines = _LINE.split(event) if odd else event.split(b"\n")
        data = [line[6:] if line[5:6] == b" " else line[5:] for line in lines if line.startswith(b"data:")]
        if data:
            yield data[0] if len(data) == 1 else b"\n".join(data)


MOST_KEPT = 16 * 1024 * 1024
"""Bytes of one JSON answer, or of one event, that are kept to be read."""

HEAD_KEPT = 16 * 1024
TAIL_KEPT = 16 * 1024
"""Bytes of a stream's beginning and end that are kept; the end is longer where its last event is."""

LAST_ENDS = 3
"""Chunks with an event's end that are kept whatever their size: the last event with counts is often long,
and a closing marker may follow it."""

LAST_EVENTS = 16
"""Events from the end in which counts are looked for: closing markers and pings may follow them."""

_TOKEN = {
    "responses": re.compile(rb'"type"\s*:\s*"response\.[a-z_.]+\.delta"'),
    "messages": re.compile(rb'"type"\s*:\s*"content_block_delta"'),
    "completions": re.compile(rb'"text"\s*:\s*"[^"]'),
}
_CHAT_TOKEN = re.compile(rb'"(?:content|reasoning|reasoning_content|refusal|arguments|name)"\s*:\s*"[^"]')
_DONE = b"[DONE]"


class Tap(Protocol):
    """One answer's observer."""

    streams: bool  # the answer says by itself when it is complete
    first_token_seen: bool
    quota_events: list[bytes]

    def feed(self, chunk: bytes) -> None:
        """Bytes as they pass."""

    def end(self) -> Report:
        """What the answer reported; called once, also after a broken or cancelled stream. Afterwards
        `quota_events` holds the quota events that were seen, some perhaps twice."""


class NoTap:
    """For answers that cannot report anything."""

    streams = False
    first_token_seen = False

    def __init__(self) -> None:
        self.quota_events: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        return None

    def end(self) -> Report:
        return NOTHING


class JsonTap:
    """For one JSON document: kept until its end, then read once."""

    streams = False
    first_token_seen = False  # one document has no first token

    def __init__(self, api: str, decode: Decoder) -> None:
        self._api = api
        self._decode = decode
        self._chunks: list[bytes] = []
        self._size = 0
        self._readable = True
        self.quota_events: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        if not self._readable:
            return
        try:
            chunk = self._decode(chunk)
        except Undecodable:
            self._readable = False
            return
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > MOST_KEPT:
            self._readable = False
            self._chunks.clear()

    def end(self) -> Report:
        if not self._readable:
            return NOTHING
        chunks = self._chunks
        return read_answer(chunks[0] if len(chunks) == 1 else b"".join(chunks), self._api)


class MessageTap:
    """For one turn on a WebSocket: each chunk is a whole JSON message."""

    streams = True

    def __init__(self, api: str) -> None:
        self._api = api
        self._token = _TOKEN.get(api, _CHAT_TOKEN)
        self._report = NOTHING
        self.quota_events: list[bytes] = []
        self.first_token_seen = False

    def feed(self, chunk: bytes) -> None:
        if not self.first_token_seen:
            self.first_token_seen = self._token.search(chunk) is not None
        if MARK in chunk:
            self.quota_events.append(chunk)
        elif b'"usage"' in chunk or b'"error"' in chunk:
            self._report = _over(read_answer(chunk, self._api), self._report)

    def end(self) -> Report:
        return self._report


class EventTap:
    """For a stream of events."""

    streams = True

    def __init__(self, api: str, decode: Decoder) -> None:
        self._api = api
        self._decode = decode
        self._head: list[bytes] = []
        self._head_size = 0
        self._tail: deque[bytes] = deque()
        self._tail_size = 0
        self._fed = 0
        self._ends: deque[int] = deque((0,), maxlen=LAST_ENDS)
        self._token = _TOKEN.get(api, _CHAT_TOKEN)
        self._edge = b""
        self.quota_events: list[bytes] = []
        self.first_token_seen = False

    def feed(self, chunk: bytes) -> None:
        if self._decode is not plain:
            try:
                chunk = self._decode(chunk)
            except Undecodable:
                self._decode = _nothing  # what was read before it still counts
                return
        if not self.first_token_seen:
            self._look_for_token(chunk)
        if self._head_size < HEAD_KEPT:
            self._head.append(chunk)
            self._head_size += len(chunk)
        self._keep_tail(chunk)

    def end(self) -> Report:
        tail = b"".join(self._tail)
        report = NOTHING
        for data in _last_events(tail):
            report = _over(report, self._read(data))
            if report.usage is not NO_USAGE and report.model:
                break
        if self._api == "responses":  # only Codex' own streams tell of quota
            for part in (b"".join(self._head), tail):
                if MARK in part:
                    self.quota_events += [data for data in events(part) if MARK in data]
        if self._api == "messages":  # input is counted in the first event, output in the last
            for data in events(b"".join(self._head)):
                if b'"message_start"' in data:
                    report = _over(report, self._read(data))
        return report

    def _look_for_token(self, chunk: bytes) -> None:
        self.first_token_seen = self._token.search(self._edge + chunk) is not None
        self._edge = (self._edge + chunk)[-200:]

    def _keep_tail(self, chunk: bytes) -> None:
        """Forget chunks from the left, but none that one of the last whole events may begin in."""
        last = self._tail[-1] if self._tail else b""
        self._tail.append(chunk)
        self._tail_size += len(chunk)
        if b"\n\n" in chunk or b"\r" in chunk or (chunk[:1] == b"\n" and last[-1:] == b"\n"):
            self._ends.append(self._fed)
        self._fed += 1
        oldest = self._fed - len(self._tail)
        while self._tail_size > TAIL_KEPT and oldest < self._ends[0]:
            self._tail_size -= len(self._tail.popleft())
            oldest += 1
        if self._tail_size > MOST_KEPT:
            self._tail.clear()
            self._tail_size = 0

    def _read(self, data: bytes) -> Report:
        if data == _DONE:
            return Report(final=True)
        return read_answer(data, self._api)


def _nothing(chunk: bytes) -> bytes:
    return b""


def _last_events(tail: bytes) -> Iterator[bytes]:
    """The data of the last events, newest first."""
    end = len(tail)
    if b"\r" in tail:
        yield from list(events(tail))[: -LAST_EVENTS - 1 : -1]
        return
    for _ in range(LAST_EVENTS):
        start = tail.rfind(b"\n\n", 0, max(0, end))
        yield from events(tail[start + 2 if start >= 0 else 0 : end])
        if start < 0:
            return
        end = start


def _over(newer: Report, older: Report) -> Report:
    """What two events of one stream say together; the newer one wins where both speak."""
    if older is NOTHING:
        return newer
    return Report(
        usage=merge(older.usage, newer.usage) if older.usage is not NO_USAGE else newer.usage,
        model=newer.model or older.model,
        service_tier=newer.service_tier or older.service_tier,
        reasoning_effort=newer.reasoning_effort or older.reasoning_effort,
        error_code=newer.error_code or older.error_code,
        error_message=newer.error_message or older.error_message,
        resets_at=newer.resets_at or older.resets_at,
        resets_in=newer.resets_in or older.resets_in,
        final=newer.final or older.final,
    )


def tap(api: str, content_type: str, content_encoding: str) -> Tap:
    """The tap that fits an answer's headers."""
    media = content_type.partition(";")[0].strip().lower()
    decode = decoder(content_encoding)
    if decode is None:
        return NoTap()
    if media == "text/event-stream":
        return EventTap(api, decode)
    if media == "application/json" or media.endswith("+json"):
        return JsonTap(api, decode)
    return NoTap()
