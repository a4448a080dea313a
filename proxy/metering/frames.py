"""The tap of AWS' binary event streams (`application/vnd.amazon.eventstream`), as Bedrock writes them.

A frame is: its length and that of its headers (4 bytes each, big-endian), a checksum of both, the headers,
the payload, a checksum. A model's own events come inside the payload, as base64 in the member `bytes`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from proxy.metering.usage import NOTHING, UNREADABLE, Report, read_answer, report_over

_PRELUDE, _CHECKSUM = 12, 4
MAX_FRAME = 16 * 1024 * 1024 + 512 * 1024
"""Bytes of a frame; what claims to be longer is none."""


class _Payload(msgspec.Struct):
    bytes: Any = None


_payloads = msgspec.json.Decoder(_Payload)


class FrameTap:
    """For a stream of frames."""

    streams = False  # the end of the last frame is the end of the answer
    first_token_seen = False

    def __init__(self, api: str) -> None:
        self._api = api
        self._rest = bytearray()
        self._readable = True
        self._report = NOTHING
        self.quota_events: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        if not self._readable:
            return
        self._rest += chunk
        while len(self._rest) >= _PRELUDE:
            size = int.from_bytes(self._rest[:4], "big")
            headers = int.from_bytes(self._rest[4:8], "big")
            if not _PRELUDE + headers + _CHECKSUM <= size <= MAX_FRAME:
                self._readable = False
                self._rest.clear()
                return
            if len(self._rest) < size:
                return
            self._read(bytes(self._rest[_PRELUDE + headers : size - _CHECKSUM]))
            del self._rest[:size]

    def end(self) -> Report:
        return self._report

    def _read(self, payload: bytes) -> None:
        event = payload
        try:
            inner = _payloads.decode(payload).bytes
            if isinstance(inner, str):
                event = base64.b64decode(inner, validate=True)
        except (*UNREADABLE, binascii.Error, ValueError):
            return
        self.first_token_seen = True
        if b"usage" in event or b"invocationMetrics" in event:
            self._report = report_over(read_answer(event, self._api), self._report)
