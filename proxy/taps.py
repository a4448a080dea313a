"""Taps: they see the raw chunks of one answer beside the stream, and say at its end what it reported.

A tap never raises and never changes a byte. What it keeps is bounded.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Protocol

from ledger.values import NO_USAGE
from proxy.decode import Decoder, Undecodable, decoder
from proxy.sse import EventBuffer, events
from proxy.usage import NOTHING, Report, merge, read_answer

MOST_KEPT = 16 * 1024 * 1024
"""Bytes of one JSON answer, or of one event, that are kept to be read."""

_TELLING = re.compile(
    rb'"usage"\s*:\s*\{|"error"\s*:\s*[{"]|"type"\s*:\s*"(?:error|message_stop)"'
    rb'|"response\.(?:completed|incomplete|failed)"'
)
"""Events worth decoding: with counts (not `"usage":null`), an error, or the end."""

_TOKEN = {
    "responses": re.compile(rb'"type"\s*:\s*"response\.[a-z_.]+\.delta"'),
    "messages": re.compile(rb'"type"\s*:\s*"content_block_delta"'),
    "completions": re.compile(rb'"text"\s*:\s*"[^"]'),
}
_CHAT_TOKEN = re.compile(rb'"(?:content|reasoning|reasoning_content|refusal|arguments|name)"\s*:\s*"[^"]')
_DONE = b"[DONE]"


class Tap(Protocol):
    """One answer's observer."""

    first_token_seen: bool

    def feed(self, chunk: bytes) -> None:
        """Bytes as they pass."""

    def end(self) -> Report:
        """What the answer reported; called once, also after a broken or cancelled stream."""


class NoTap:
    """For answers that cannot report anything."""

    first_token_seen = False

    def feed(self, chunk: bytes) -> None:
        return None

    def end(self) -> Report:
        return NOTHING


class JsonTap:
    """For one JSON document: kept until its end, then read once."""

    first_token_seen = False  # one document has no first token

    def __init__(self, api: str, decode: Decoder) -> None:
        self._api = api
        self._decode = decode
        self._chunks: list[bytes] = []
        self._size = 0
        self._readable = True

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


class EventTap:
    """For a stream of events: reads those that tell something, as they pass."""

    def __init__(self, api: str, decode: Decoder) -> None:
        self._api = api
        self._decode = decode
        self._buffer = EventBuffer(MOST_KEPT)
        self._token = _TOKEN.get(api, _CHAT_TOKEN)
        self._readable = True
        self._report = NOTHING
        self.first_token_seen = False

    def feed(self, chunk: bytes) -> None:
        if self._readable:
            try:
                block = self._buffer.feed(self._decode(chunk))
            except Undecodable:
                self._readable = False
                return
            if block:
                self._read(block)

    def end(self) -> Report:
        if self._readable:
            self._read(self._buffer.end())
        return self._report

    def _read(self, block: bytes) -> None:
        if not self.first_token_seen and self._token.search(block):
            self.first_token_seen = True
        if _TELLING.search(block):
            for data in events(block):
                if _TELLING.search(data):
                    self._take(read_answer(data, self._api))
        if _DONE in block and any(data == _DONE for data in events(block)):
            self._report = replace(self._report, final=True)

    def _take(self, new: Report) -> None:
        old = self._report
        self._report = Report(
            usage=merge(old.usage, new.usage) if new.usage is not NO_USAGE else old.usage,
            model=new.model or old.model,
            service_tier=new.service_tier or old.service_tier,
            reasoning_effort=new.reasoning_effort or old.reasoning_effort,
            error_code=new.error_code or old.error_code,
            error_message=new.error_message or old.error_message,
            final=new.final or old.final,
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
