"""Reading usage out of answers. Pure: bytes of one JSON document in, one frozen report out.

Only the members named here are decoded; the rest of a document is skipped without building objects. The
values that every request makes are msgspec's too: a frozen dataclass takes five times as long to make.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ledger.values import NO_USAGE, Usage
from proxy.metering.members import brief

MOST_TOKENS = 2**48
"""A larger count is nonsense, and would not fit the store's integers."""


class _Answer(msgspec.Struct):
    """An answer, or one event of a stream, of any of the APIs."""

    type: Any = None
    model: Any = None
    usage: Any = None
    service_tier: Any = None
    reasoning: Any = None
    status: Any = None
    error: Any = None
    code: Any = None
    response: _Answer | None = None
    message: Any = None  # Anthropic's message_start: an object; an error event: a text


class _Question(msgspec.Struct):
    """A request of any of the APIs."""

    model: Any = None
    stream: Any = None
    stream_options: Any = None
    reasoning: Any = None
    reasoning_effort: Any = None
    service_tier: Any = None
    prompt_cache_key: Any = None


_answers = msgspec.json.Decoder(_Answer)
_questions = msgspec.json.Decoder(_Question)


class Asked(msgspec.Struct, frozen=True):
    """What a request's body says about itself."""

    model: str | None = None
    stream: bool = False
    include_usage: bool = False
    reasoning_effort: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None


NOTHING_ASKED = Asked()


class Report(msgspec.Struct, frozen=True):
    """What an answer, or one event of a stream, says about itself.

    Attributes:
        error_code, error_message: of an error that the document carries, whatever the HTTP status.
        resets_at: when a quota is given anew, epoch seconds, as that error says.
        resets_in: the same in seconds from then.
        final: the document closes its stream by the protocol's own rule.
    """

    usage: Usage = NO_USAGE
    model: str | None = None
    service_tier: str | None = None
    reasoning_effort: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    resets_at: float | None = None
    resets_in: float | None = None
    final: bool = False


NOTHING = Report()

# What msgspec raises for bytes that are not JSON of the shape that is asked for.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_FINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "message_stop", "error"})


class _Typed(msgspec.Struct):
    type: Any = None


_typed = msgspec.json.Decoder(_Typed)


def message_type(message: bytes) -> str | None:
    """The `type` of a JSON message or event; None where it has none."""
    try:
        return _text(_typed.decode(message).type)
    except UNREADABLE:
        return None


def read_request(body: bytes) -> Asked:
    """What a request asks for; nothing where the body is no JSON object."""
    try:
        q = _questions.decode(brief(body))
    except UNREADABLE:
        return NOTHING_ASKED
    return Asked(
        model=_text(q.model),
        stream=q.stream is True,
        include_usage=_get(q.stream_options, "include_usage") is True,
        reasoning_effort=_text(_get(q.reasoning, "effort")) or _text(q.reasoning_effort),
        service_tier=_text(q.service_tier),
        prompt_cache_key=_text(q.prompt_cache_key),
    )


def read_answer(document: bytes, api: str) -> Report:
    """What a JSON answer or event reports; nothing where it is no JSON object."""
    try:
        top = _answers.decode(document)
    except UNREADABLE:
        return NOTHING
    inner = top.response or top
    if isinstance(top.message, dict):  # Anthropic's message_start carries the first counts inside
        usage = tokens(top.message.get("usage"), api)
        return Report(usage=usage, model=_text(top.message.get("model")))
    error = inner.error if isinstance(inner.error, dict) else top.error
    code, message = _error(top, error)
    return Report(
        usage=tokens(inner.usage, api),
        model=_text(inner.model) or _text(top.model),
        service_tier=_text(inner.service_tier) or _text(_get(inner.usage, "service_tier")),
        reasoning_effort=_text(_get(inner.reasoning, "effort")),
        error_code=code,
        error_message=message,
        resets_at=_seconds(_get(error, "resets_at")),
        resets_in=_seconds(_get(error, "resets_in_seconds")),
        final=_text(top.type) in _FINAL,
    )


def tokens(usage: object, api: str) -> Usage:
    """Token counts in our terms, whatever the API calls them.

    Anthropic counts cached input beside `input_tokens`; here it is a part of them. Embeddings have
    no output: it is 0, not unknown.
    """
    if not isinstance(usage, dict):
        return NO_USAGE
    input_tokens = _count(usage.get("input_tokens", usage.get("prompt_tokens")))
    output = _count(usage.get("output_tokens", usage.get("completion_tokens")))
    cached = _first_count(
        _get(usage.get("input_tokens_details"), "cached_tokens"),
        _get(usage.get("prompt_tokens_details"), "cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),
    )
    if "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage:
        read = _count(usage.get("cache_read_input_tokens")) or 0
        created = _count(usage.get("cache_creation_input_tokens")) or 0
        if input_tokens is not None:
            input_tokens += read + created
        cached = read
    if api == "embeddings" and input_tokens is not None and output is None:
        output = 0
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output,
        cached_input_tokens=cached,
        reasoning_tokens=_first_count(
            _get(usage.get("output_tokens_details"), "reasoning_tokens"),
            _get(usage.get("completion_tokens_details"), "reasoning_tokens"),
        ),
    )


def merge(old: Usage, new: Usage) -> Usage:
    """The later report wins, count by count: streams repeat and complete what they said before."""
    if old is NO_USAGE or new is NO_USAGE:
        return old if new is NO_USAGE else new
    return Usage(
        input_tokens=_newer(old.input_tokens, new.input_tokens),
        output_tokens=_newer(old.output_tokens, new.output_tokens),
        cached_input_tokens=_newer(old.cached_input_tokens, new.cached_input_tokens),
        reasoning_tokens=_newer(old.reasoning_tokens, new.reasoning_tokens),
    )


def _newer(old: int | None, new: int | None) -> int | None:
    return old if new is None else new


def _error(top: _Answer, error: object) -> tuple[str | None, str | None]:
    if isinstance(error, dict):
        code = _text(error.get("code")) or _text(error.get("type"))
        return code or "error", _text(error.get("message"))
    if top.type == "error":  # the Responses API's bare error event
        return _text(top.code) or "error", _text(top.message)
    if isinstance(error, str) and error:
        return "error", error
    return None, None


def _get(value: object, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _seconds(value: object) -> float | None:
    return float(value) if type(value) in (int, float) and 0 < value < MOST_TOKENS else None  # type: ignore[operator, arg-type]


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def _first_count(*values: object) -> int | None:
    return next((count for value in values if (count := _count(value)) is not None), None)
