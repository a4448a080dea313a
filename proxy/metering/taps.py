"""Taps: they see the raw chunks of one answer beside the stream, and say at its end what it reported.

A tap never raises and never changes a byte. What it keeps is bounded. Its first bytes say what an answer is,
whatever its head calls it; of a stream, only events that may carry counts are parsed, and its last ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec.structs import replace

from ledger.privacy import MAX_BODY
from proxy.http.decode import Decoder, Undecodable, decoder, plain
from proxy.metering.event_tap import EventTap
from proxy.metering.framing import FrameTap
from proxy.metering.quota import MARK
from proxy.metering.sieve import Sieve, token_pattern
from proxy.metering.usage import NOTHING, UNREADABLE, Report, read_answer, report_over

MAX_KEPT = 16 * 1024 * 1024
"""Bytes of one JSON answer, or of one event, that are kept to be read; a longer one is sieved."""

MAX_QUOTA_EVENTS = 16
"""Of one turn, the newest: each says how it stands."""

_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_SPACE = b" \t\r\n\xef\xbb\xbf"
_LINES = frozenset({"application/x-ndjson", "application/jsonl", "application/x-jsonlines"})
_FRAMES = "application/vnd.amazon.eventstream"


class Tap(Protocol):
    """One answer's observer."""

    @property
    def first_token_seen(self) -> bool:
        """Whether something generated has come."""

    @property
    def streams(self) -> bool:
        """Whether the answer says by itself when it is complete."""

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

    quota_events: list[bytes] = []  # noqa: RUF012  # never any

    def feed(self, chunk: bytes) -> None:
        return None

    def end(self) -> Report:
        return NOTHING


class JsonTap:
    """For one JSON document: kept until its end, then read once."""

    streams = False
    first_token_seen = False  # one document has no first token

    def __init__(self, api: str) -> None:
        self._api = api
        self._chunks: list[bytes] = []
        self._size = 0
        self._sieve: Sieve | None = None
        self.quota_events: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        if self._sieve:
            self._sieve.feed(chunk)
            return
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > MAX_KEPT:
            self._sieve = Sieve(self._api)
            for kept in self._chunks:
                self._sieve.feed(kept)
            self._chunks.clear()

    def end(self) -> Report:
        if self._sieve:
            return self._sieve.end()
        chunks = self._chunks
        whole = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        report = read_answer(whole, self._api)
        return _read_lines(whole, self._api) if report is NOTHING and b"}\n{" in whole else report


class MessageTap:
    """For one turn on a WebSocket: each chunk is a whole JSON message.

    Args:
        model: the one that answers, where the messages do not say.
    """

    streams = True

    def __init__(self, api: str, model: str | None = None) -> None:
        self._api = api
        self._model = model
        self._token = token_pattern(api)
        self._report = NOTHING
        self.quota_events: list[bytes] = []
        self.first_token_seen = False

    def feed(self, chunk: bytes) -> None:
        if not self.first_token_seen:
            self.first_token_seen = self._token.search(chunk) is not None
        if MARK in chunk:
            self.quota_events.append(chunk)
            del self.quota_events[:-MAX_QUOTA_EVENTS]
        elif b'"usage"' in chunk or b'"error"' in chunk:
            self._report = report_over(read_answer(chunk, self._api), self._report)

    def end(self) -> Report:
        report = self._report
        return report if report.model or not self._model else replace(report, model=self._model)


class AnswerTap:
    """For whatever an HTTP answer turns out to be by its first bytes.

    Args:
        media: what its head calls it, in lower case; it decides between shapes that begin alike.
    """

    def __init__(self, api: str, media: str, decode: Decoder) -> None:
        self._api = api
        self._media = media
        self._decode = decode
        self._inner: Tap | None = FrameTap(api) if media == _FRAMES else None
        self.feed: Callable[[bytes], None] = self._first if decode is plain else self._packed
        self.quota_events: list[bytes] = []

    @property
    def streams(self) -> bool:
        return self._inner.streams if self._inner else self._media == "text/event-stream"

    @property
    def first_token_seen(self) -> bool:
        return self._inner is not None and self._inner.first_token_seen

    def _packed(self, chunk: bytes) -> None:
        try:
            chunk = self._decode(chunk)
        except Undecodable:
            self.feed = _nothing  # what was read before it still counts
            return
        if self._inner is None:
            self._first(chunk)
        else:
            self._inner.feed(chunk)

    def _first(self, chunk: bytes) -> None:
        """The first bytes; those that follow go to the tap that they call for."""
        if self._inner is None:
            chunk = chunk.lstrip(_SPACE)
            if not chunk:
                return
            self._inner = self._begun(chunk)
        if self._decode is plain:
            self.feed = self._inner.feed
        self._inner.feed(chunk)

    def end(self) -> Report:
        if self._inner is None:
            return NOTHING
        report = self._inner.end()
        self.quota_events = self._inner.quota_events
        return report

    def _begun(self, chunk: bytes) -> Tap:
        """The tap that fits the first bytes."""
        if chunk[:1] in (b"{", b"["):
            return EventTap(self._api, lines=True) if self._media in _LINES else JsonTap(self._api)
        if self._media == "text/event-stream" or _is_event(chunk[:6]):
            return EventTap(self._api)
        return NoTap()


def _is_event(begun: bytes) -> bool:
    """Whether an event may begin like this; of its first field's name there may be only a part."""
    return any(begun.startswith(name) or name.startswith(begun) for name in _FIELDS)


def _nothing(chunk: bytes) -> None:
    return None


def _read_lines(whole: bytes, api: str) -> Report:
    """Newline-delimited JSON that is called JSON."""
    tap = EventTap(api, lines=True)
    tap.feed(whole)
    return tap.end()


def tap(api: str, content_type: str, content_encoding: str) -> Tap:
    """The tap that fits an answer's headers."""
    decode = decoder(content_encoding)
    if decode is None:
        return NoTap()
    return AnswerTap(api, content_type.partition(";")[0].strip().lower(), decode)


MAX_BYTES = 4 * MAX_BODY
_ERROR = b'"error"'


class FailureTap:
    """Another tap, and beside it the beginning of an answer that is an error as a whole; of events that pass
    one by one, the error in the last one that has any: around it stands what was generated.

    Args:
        decode: of an answer that is an error as a whole.
    """

    def __init__(self, inner: Tap, decode: Decoder | None = None) -> None:
        self._inner = inner
        self._decode = decode
        self._kept = b""
        self.quota_events: list[bytes] = []

    @property
    def streams(self) -> bool:
        return self._inner.streams

    @property
    def first_token_seen(self) -> bool:
        return self._inner.first_token_seen

    def feed(self, chunk: bytes) -> None:
        self._inner.feed(chunk)
        if self._decode is None:
            if _ERROR in chunk:
                self._kept = chunk
        elif len(self._kept) < MAX_BYTES:
            try:
                self._kept += self._decode(chunk)[:MAX_BYTES]
            except Undecodable:
                self._kept = self._kept[:MAX_BYTES].ljust(MAX_BYTES)

    def end(self) -> Report:
        report = self._inner.end()
        self.quota_events = self._inner.quota_events
        return report

    def body(self) -> bytes:
        """What is to be kept; empty where there is nothing."""
        return self._kept if self._decode is not None else _error_of(self._kept)


def _error_of(events: bytes) -> bytes:
    """The error in the last event that has one."""
    for line in reversed(events.splitlines()):
        if _ERROR in line:
            try:
                document = msgspec.json.decode(line.removeprefix(b"data:"))
            except UNREADABLE:
                continue
            inner = document.get("response") if isinstance(document, dict) else None
            for place in (document, inner):
                if isinstance(place, dict) and place.get("error"):
                    return msgspec.json.encode({"error": place["error"]})
    return b""
