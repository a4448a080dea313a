"""What a provider answered to a request that failed, for the ledger's table of such answers: only where the
configuration keeps them."""

from __future__ import annotations

import msgspec

from ledger.privacy import MAX_BODY
from proxy.http.decode import Decoder, Undecodable
from proxy.metering.taps import Tap
from proxy.metering.usage import UNREADABLE, Report

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
