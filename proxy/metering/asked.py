"""What a request's body asks for: JSON, or a form with files. Bounded, whatever the body's size."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from proxy.http.decode import Undecodable, decoder
from proxy.metering.members import SMALL, brief, outline
from proxy.metering.numbers import get, text
from proxy.metering.usage import UNREADABLE

MAX_READ = 16 * 1024 * 1024
"""Bytes of a request that are kept to read what it asks for."""

_SEAM = 1024
"""Bytes in which a field of a form may be cut between chunks."""

_FIELDS = {"model", "stream", "service_tier"}
_PART = re.compile(
    rb'\r?\nContent-Disposition:\s*form-data;\s*name="?([a-z_]{1,40})"?[^\r\n]*\r?\n(?:[^\r\n]+\r?\n)*\r?\n'
    rb"([^\r\n]{1,200})\r?\n--",
    re.IGNORECASE,
)


class _Question(msgspec.Struct):
    """A request of any of the APIs."""

    model: Any = None
    stream: Any = None
    stream_options: Any = None
    reasoning: Any = None
    reasoning_effort: Any = None
    service_tier: Any = None
    speed: Any = None
    prompt_cache_key: Any = None
    input: msgspec.Raw = msgspec.Raw(b"")
    response: Any = None


_questions = msgspec.json.Decoder(_Question)


class Asked(msgspec.Struct, frozen=True):
    """What a request's body says about itself.

    Attributes:
        characters: of a text that is to be spoken.
    """

    model: str | None = None
    stream: bool = False
    include_usage: bool = False
    reasoning_effort: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    characters: int | None = None


NOTHING_ASKED = Asked()


def read_request(body: bytes) -> Asked:
    """What a request asks for; nothing where the body is no JSON object."""
    try:
        q = _questions.decode(brief(body))
    except UNREADABLE:
        return NOTHING_ASKED
    return Asked(
        model=text(q.model),
        stream=q.stream in (True, "true"),  # and 1, as some write it
        include_usage=get(q.stream_options, "include_usage") is True,
        reasoning_effort=text(get(q.reasoning, "effort")) or text(q.reasoning_effort),
        service_tier=text(q.service_tier) or ("fast" if q.speed == "fast" else None),
        prompt_cache_key=text(q.prompt_cache_key),
        characters=_characters(q.input),
    )


def _characters(raw: msgspec.Raw) -> int | None:
    """The length of an input that is one short text; speech takes no more than 4,096 characters."""
    if not raw or len(bytes(raw)) > MAX_SPOKEN:
        return None
    try:
        return len(msgspec.json.decode(raw, type=str))
    except UNREADABLE:
        return None


MAX_SPOKEN = 64 * 1024
"""Bytes of a text to be spoken."""


def read_form(found: dict[str, str]) -> Asked:
    """What a form's fields ask for."""
    return Asked(
        model=found.get("model") or None,
        stream=found.get("stream", "").lower() in ("true", "1"),
        service_tier=found.get("service_tier") or None,
    )


class RequestReader:
    """Reads a body beside its way, whole or in chunks.

    Args:
        content_type, content_encoding: as the request's head says.

    Attributes:
        is_form: it has parts, whatever stands before the first.
        is_packed: reading it may take long, whatever its size.
    """

    def __init__(self, content_type: str, content_encoding: str) -> None:
        media = content_type.strip().lower()
        self.is_form = media.startswith("multipart/")
        self._may_be_file = bool(media) and "json" not in media
        self._encoding = content_encoding
        self._kept: list[bytes] = []
        self._size = 0
        self._seam = b""
        self._fields: dict[str, str] = {}

    @property
    def is_packed(self) -> bool:
        return bool(self._encoding)

    def feed(self, chunk: bytes) -> None:
        """Bytes as they pass."""
        if self.is_form:
            if not self._encoding:  # packed forms are not unpacked on their way
                self._scan(chunk)
            return
        if self._may_be_file and not self._size and not chunk.lstrip().startswith(b"{"):
            self._size = MAX_READ  # a file
        self._size += len(chunk)
        if self._size <= MAX_READ:
            self._kept.append(chunk)
        else:
            self._kept.clear()

    def end(self) -> Asked:
        """What the body asks for; nothing where it cannot be read."""
        if self.is_form:
            return read_form(self._fields)
        kept, decode = self._kept, decoder(self._encoding)
        if decode is None or not kept:
            return NOTHING_ASKED
        try:
            plain = decode(kept[0] if len(kept) == 1 else b"".join(kept))
        except Undecodable:
            return NOTHING_ASKED
        return read_request(outline(plain))

    def _scan(self, chunk: bytes) -> None:
        self._search(self._seam + chunk[:_SEAM])
        self._search(chunk)
        self._seam = chunk[-_SEAM:] if len(chunk) >= _SEAM else (self._seam + chunk)[-_SEAM:]

    def _search(self, part: bytes) -> None:
        if b"form-data" not in part:
            return
        for match in _PART.finditer(part):
            name = match[1].decode("ascii").lower()
            if name in _FIELDS and name not in self._fields:
                self._fields[name] = match[2].decode("utf-8", "replace").strip()


def read_body(whole: bytes, content_type: str, content_encoding: str) -> Asked:
    """What a complete body asks for."""
    is_plain = not content_encoding and len(whole) <= SMALL and whole.startswith(b"{")
    if is_plain and "multipart" not in content_type.lower():
        return read_request(whole)
    reader = RequestReader(content_type, content_encoding)
    reader.feed(whole)
    return reader.end()
