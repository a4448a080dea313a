"""The output of a batch as it is read: a line for each answer, of OpenAI's shape or of Anthropic's. Each has
its own model and counts; they are metered as the lines pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from proxy.http.decode import Decoder, Undecodable
from proxy.metering.framing import Blocks, after_lines, lines
from proxy.metering.usage import NOTHING, UNREADABLE, Report, read_answer

MAX_LINE = 16 * 1024 * 1024
TIER = "batch"

_APIS = {"response": "responses", "chat.completion": "chat_completions", "text_completion": "completions"}


class _Response(msgspec.Struct):
    status_code: Any = None
    request_id: Any = None
    body: msgspec.Raw = msgspec.Raw(b"")


class _Result(msgspec.Struct):
    type: Any = None
    message: msgspec.Raw = msgspec.Raw(b"")


class _Line(msgspec.Struct):
    id: Any = None
    custom_id: Any = None
    response: _Response | None = None
    result: _Result | None = None


class _Kind(msgspec.Struct):
    object: Any = None
    id: Any = None


_line = msgspec.json.Decoder(_Line)
_kind = msgspec.json.Decoder(_Kind)


class BatchAnswer(NamedTuple):
    """One answer of a batch. `id` is the provider's."""

    id: str
    api: str
    report: Report


class BatchTap:
    """For the output of a batch.

    Args:
        hear: takes each answer that reports its usage.
    """

    streams = False
    first_token_seen = False

    def __init__(self, decode: Decoder, hear: Callable[[BatchAnswer], None]) -> None:
        self._decode: Decoder | None = decode
        self._hear = hear
        self._blocks = Blocks(self._take, after_lines)
        self.quota_events: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        if self._decode is None:
            return
        try:
            self._blocks.feed(self._decode(chunk))
        except Undecodable:
            self._decode = None
        if self._blocks.size > MAX_LINE:  # it is no list of answers
            self._decode = None
            self._blocks.clear()

    def end(self) -> Report:
        self._take(b"".join(self._blocks.rest))
        self._blocks.clear()
        return NOTHING

    def _take(self, block: bytes) -> None:
        if b'"usage"' not in block:
            return
        for line in lines(block):
            answer = read_line(line)
            if answer is not None:
                self._hear(answer)


def read_line(line: bytes) -> BatchAnswer | None:
    """The answer in a line; None for a line of anything else, and for an answer without counts."""
    try:
        found = _line.decode(line)
    except UNREADABLE:
        return None
    if found.response is not None and found.response.body:
        return _answer(bytes(found.response.body), found.id or found.response.request_id, None)
    if found.result is not None and found.result.message:
        return _answer(bytes(found.result.message), None, "messages")
    return None


def _answer(body: bytes, line_id: object, api: str | None) -> BatchAnswer | None:
    try:
        kind = _kind.decode(body)
    except UNREADABLE:
        return None
    if api is None:
        api = _APIS.get(kind.object, "other") if isinstance(kind.object, str) else "other"
        api = "embeddings" if kind.object == "list" else api
    report = read_answer(body, api)
    name = line_id or kind.id
    if not report.metered or not isinstance(name, str):
        return None
    return BatchAnswer(name, api, report)
