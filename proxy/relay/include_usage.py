"""Asking for the counts of a streamed chat completion on the client's behalf, and keeping the added event
from it. Opt-in: it changes the request, and takes one event out of the answer."""

from __future__ import annotations

import re

import msgspec

from proxy.errors import Refused
from proxy.metering.framing import BLANK
from proxy.metering.members import MAX_MEMBER
from proxy.metering.usage import UNREADABLE

APIS = frozenset({"chat_completions", "completions"})

MAX_HELD = 64 * 1024
"""Bytes of an event that are held until it is complete; counts take a few hundred."""

_EDGE = 3
"""Bytes in which the end of an event may be cut."""


class _Chunk(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: dict[str, object] | None = None


class _Request(msgspec.Struct):
    stream_options: msgspec.Raw = msgspec.Raw(b"")


_ASKED = b'"stream_options":{"include_usage":true}'
_requests = msgspec.json.Decoder(_Request)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_chunks = msgspec.json.Decoder(_Chunk)


def asking(body: bytes) -> bytes:
    """The request with `stream_options.include_usage` set; its other stream options stay.

    Raises: Refused where the body is no JSON object.
    """
    try:
        known = _requests.decode(body).stream_options
        options = msgspec.json.decode(known) if len(bytes(known)) <= MAX_MEMBER and known else {}
        if not known:
            return _added(body)
        members = _members.decode(body)
    except UNREADABLE as error:
        raise Refused(400, "invalid_json", "the request body is not a JSON object") from error
    kept = options if isinstance(options, dict) else {}
    return msgspec.json.encode({**members, "stream_options": {**kept, "include_usage": True}})


def _added(body: bytes) -> bytes:
    """The object with one member more, before its end; all else keeps its bytes."""
    before = body.rstrip()[:-1].rstrip()
    return before + (b"" if before.lstrip() == b"{" else b",") + _ASKED + b"}"


class Strip:
    """Takes the event that carries nothing but the counts out of a stream; all other bytes pass as
    they came, each event as soon as it is complete, or longer than counts are."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []  # of the event that is not complete
        self._size = 0
        self._edge = b""  # the last bytes, in which the end of an event may have begun
        self._is_long = False

    def __call__(self, chunk: bytes) -> bytes:
        """What goes on to the client of the bytes so far."""
        seam = self._edge + chunk
        self._keep(chunk)
        if BLANK.search(seam) is None:
            return self._released() if self._is_long or self._size > MAX_HELD else b""
        data = b"".join(self._parts)
        out, start = [], 0
        for match in BLANK.finditer(data):
            if match.end() == len(data) and data.endswith(b"\r"):
                break  # the line ending may not be complete
            event = data[start : match.end()]
            start = match.end()
            if self._is_long or not _only_usage(event):
                out.append(event)
            self._is_long = False
        self._parts, self._size = [], 0
        self._keep(data[start:])
        return b"".join(out)

    def end(self) -> bytes:
        """What is left at the stream's end."""
        rest = b"".join(self._parts)
        return b"" if not self._is_long and _only_usage(rest) else rest

    def _keep(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        self._edge = (self._edge + data)[-_EDGE:] if len(data) < _EDGE else data[-_EDGE:]

    def _released(self) -> bytes:
        """What is known of an event that is too long to be the added one, but for its last bytes."""
        data = b"".join(self._parts)
        self._parts, self._size, self._is_long = [], 0, True
        self._keep(data[-_EDGE:])
        return data[:-_EDGE]


def _only_usage(event: bytes) -> bool:
    if b'"usage"' not in event:
        return False
    lines = re.split(rb"\r\n|\n|\r", event)
    data = b"\n".join(line[5:].lstrip(b" ") for line in lines if line.startswith(b"data:"))
    try:
        chunk = _chunks.decode(data)
    except UNREADABLE:
        return False
    return chunk.choices == [] and chunk.usage is not None
