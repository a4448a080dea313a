"""The output of a batch as it is read: a line for each answer, of OpenAI's shape, Anthropic's or Gemini's, or
Gemini's batch itself with its answers inside. Each has its own model and counts; lines are metered as they
pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from proxy.http.decode import Decoder, Undecodable
from proxy.metering.framing import Blocks, after_lines, lines
from proxy.metering.numbers import text
from proxy.metering.usage import NOTHING, UNREADABLE, Report, read_answer

MAX_LINE = 16 * 1024 * 1024
TIER = "batch"

_APIS = {"response": "responses", "chat.completion": "chat_completions", "text_completion": "completions"}


class _Response(msgspec.Struct):
    request_id: Any = None
    body: msgspec.Raw = msgspec.Raw(b"")
    responseId: Any = None


class _Result(msgspec.Struct):
    type: Any = None
    message: msgspec.Raw = msgspec.Raw(b"")


class _Line(msgspec.Struct):
    id: Any = None
    custom_id: Any = None
    response: msgspec.Raw = msgspec.Raw(b"")
    result: _Result | None = None


class _Inlined(msgspec.Struct):
    inlinedResponses: list[msgspec.Raw] = []


class _Output(msgspec.Struct):
    inlinedResponses: _Inlined | None = None


class _Metadata(msgspec.Struct):
    output: _Output | None = None


class _Batch(msgspec.Struct):
    name: Any = None
    response: _Output | None = None
    metadata: _Metadata | None = None


class _Kind(msgspec.Struct):
    object: Any = None
    id: Any = None


_line = msgspec.json.Decoder(_Line)
_response = msgspec.json.Decoder(_Response)
_batch = msgspec.json.Decoder(_Batch)
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
        whole: it is one document, and not lines of them.
    """

    streams = False
    first_token_seen = False

    def __init__(self, decode: Decoder, hear: Callable[[BatchAnswer], None], *, whole: bool = False) -> None:
        self._decode: Decoder | None = decode
        self._hear = hear
        self._read = read_batch if whole else _read_lines
        self._blocks = Blocks(_nowhere if whole else after_lines)
        self.quota_events: list[bytes] = []

    def feed(self, chunk: bytes) -> None:
        if self._decode is None:
            return
        try:
            self._take(self._blocks.feed(self._decode(chunk)))
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
        if b'"usage' in block:
            for answer in self._read(block):
                self._hear(answer)


def _nowhere(data: bytes) -> int:
    return 0


def _read_lines(block: bytes) -> Iterator[BatchAnswer]:
    return (answer for line in lines(block) if (answer := read_line(line)) is not None)


def read_batch(document: bytes) -> Iterator[BatchAnswer]:
    """The answers in a batch of Gemini's that was asked without a file; none in one of others."""
    try:
        found = _batch.decode(document)
    except UNREADABLE:
        return
    for output in (found.response, found.metadata and found.metadata.output):
        if output and output.inlinedResponses and output.inlinedResponses.inlinedResponses:
            for number, raw in enumerate(output.inlinedResponses.inlinedResponses):
                if (answer := read_line(bytes(raw), f"{found.name}/{number}")) is not None:
                    yield answer
            return


def read_line(line: bytes, place: str | None = None) -> BatchAnswer | None:
    """The answer in a line; None for a line of anything else, and for an answer without counts.

    Args:
        place: what an answer is known by that has no name of its own; without it, by what the line says.
    """
    try:
        found = _line.decode(line)
        if found.result is not None and found.result.message:
            return _answer(bytes(found.result.message), None, "messages")
        inner = _response.decode(found.response)
    except UNREADABLE:
        return None
    if inner.body:
        return _answer(bytes(inner.body), found.id or inner.request_id, None)
    if b'"usageMetadata"' in bytes(found.response):
        name = text(inner.responseId) or place or sha256(line.strip()).hexdigest()
        return _answer(bytes(found.response), name, "other")
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
