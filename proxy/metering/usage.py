"""Reading usage out of answers. Pure: bytes of one JSON document in, one frozen report out.

Only the members named here are decoded; the rest of a document is skipped without building objects. The
values that every request makes are msgspec's too: a frozen dataclass takes five times as long to make.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from ledger.values import NO_USAGE, Usage
from proxy.metering import shapes
from proxy.metering.numbers import Numbers, epoch_seconds, fields, get, storable, text
from proxy.metering.shapes import tool_calls
from proxy.metering.statement import Statement, over

MAX_ODD = 1024 * 1024
"""Bytes of a document that is read once more, slowly, where its numbers are beyond JSON's."""

MAX_PIECES = 128
"""Of either end of a stream that is one list: those between them say less."""

_JUST_DATA = str | int | float | bool | list[Any] | None


class _Answer(msgspec.Struct):
    """An answer, or one event of a stream, of any of the APIs."""

    id: Any = None
    type: Any = None
    object: Any = None
    model: Any = None
    usage: Any = None
    service_tier: Any = None
    serviceTier: Any = None
    reasoning: Any = None
    background: Any = None
    status: Any = None
    status_details: Any = None
    error: Any = None
    code: Any = None
    tool_usage: Any = None
    tools: msgspec.Raw = msgspec.Raw(b"")
    output: msgspec.Raw = msgspec.Raw(b"")
    choices: msgspec.Raw = msgspec.Raw(b"")
    data: msgspec.Raw = msgspec.Raw(b"")
    candidates: msgspec.Raw = msgspec.Raw(b"")
    response: _Answer | _JUST_DATA = None
    message: Any = None  # Anthropic's message_start: an object; an error event: a text; Ollama's: an object
    x_groq: Any = None
    usage_info: Any = None
    usageMetadata: Any = None
    modelVersion: Any = None
    responseId: Any = None
    invocation: Any = msgspec.field(default=None, name="amazon-bedrock-invocationMetrics")
    meta: Any = None
    timings: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    tokens_evaluated: Any = None
    tokens_predicted: Any = None
    done: Any = None
    stop: Any = None
    delta: msgspec.Raw = msgspec.Raw(b"")
    duration: Any = None


_answers = msgspec.json.Decoder(_Answer)
_lists = msgspec.json.Decoder(list[msgspec.Raw])


class Report(msgspec.Struct, frozen=True):
    """What an answer, or one event of a stream, says about itself.

    Attributes:
        said: of token counts.
        units, cost: what is billed beside tokens, and US dollars that the provider itself says it cost.
        nonsense: numbers that make no sense, and are left out.
        error_code, error_message: of an error that the document carries, whatever the HTTP status.
        resets_at: when a quota is reset, epoch seconds, as that error says.
        resets_in: the same in seconds from then.
        final: the document closes its stream by the protocol's own rule.
        response_id: of the stored response that this is; `background`: it was not waited for.
        drawn: token counts of the images that a tool of the response drew; `drawn_by`: with which model.
    """

    said: Statement | None = None
    model: str | None = None
    service_tier: str | None = None
    reasoning_effort: str | None = None
    units: Mapping[str, Decimal] | None = None
    cost: Decimal | None = None
    nonsense: int = 0
    error_code: str | None = None
    error_message: str | None = None
    resets_at: float | None = None
    resets_in: float | None = None
    final: bool = False
    response_id: str | None = None
    background: bool = False
    drawn: Statement | None = None
    drawn_by: str | None = None

    @property
    def usage(self) -> Usage:
        """In the ledger's terms."""
        return NO_USAGE if self.said is None else self.said.usage

    @property
    def metered(self) -> bool:
        """Whether it says what the request used."""
        return self.said is not None or bool(self.units)


NOTHING = Report()
CLOSED = Report(final=True)

# What msgspec raises for bytes that are not JSON of the shape that is asked for.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
_FINAL = frozenset(
    {
        TRANSCRIBED,
        "response.completed",
        "response.incomplete",
        "response.failed",
        "response.done",
        "message_stop",
        "image_generation.completed",
        "image_edit.completed",
        "transcript.text.done",
        "transcription.done",
        "speech.audio.done",
        "error",
    }
)


def read_answer(document: bytes, api: str) -> Report:
    """What a JSON answer or event reports; nothing where it is no JSON object, nor a list of them."""
    try:
        top = _answers.decode(document)
    except UNREADABLE:
        if document.lstrip()[:1] == b"[":
            return _read_list(document, api)
        odd = _odd(document)
        return NOTHING if odd is None else _report(odd, api)
    return _report(top, api)


def report_over(newer: Report, older: Report) -> Report:
    """What two events of one stream say together; the newer one wins where both speak."""
    if older is NOTHING:
        return newer
    if newer is NOTHING:
        return older
    if newer is CLOSED:
        return msgspec.structs.replace(older, final=True)
    return Report(
        said=over(newer.said, older.said),
        model=newer.model or older.model,
        service_tier=newer.service_tier or older.service_tier,
        reasoning_effort=newer.reasoning_effort or older.reasoning_effort,
        units={**older.units, **newer.units} if newer.units and older.units else newer.units or older.units,
        cost=older.cost if newer.cost is None else newer.cost,
        nonsense=newer.nonsense + older.nonsense,
        error_code=newer.error_code or older.error_code,
        error_message=newer.error_message or older.error_message,
        resets_at=newer.resets_at or older.resets_at,
        resets_in=newer.resets_in or older.resets_in,
        final=newer.final or older.final,
        response_id=newer.response_id or older.response_id,
        background=newer.background or older.background,
        drawn=newer.drawn or older.drawn,
        drawn_by=newer.drawn_by or older.drawn_by,
    )


def tokens(usage: object, api: str) -> Usage:
    """The token counts of a `usage` object in our terms, whatever the API calls them."""
    if not isinstance(usage, dict):
        return NO_USAGE
    return shapes.statement(usage, api, Numbers()).usage


def _report(top: _Answer, api: str) -> Report:
    inner = top.response if isinstance(top.response, _Answer) else top
    if isinstance(top.message, dict) and "usage" in top.message:  # message_start: the first counts are inside
        opened = _Answer(model=top.message.get("model"), usage=top.message["usage"])
        return _report(opened, api)
    numbers = Numbers()
    usage = inner.usage if isinstance(inner.usage, dict) else _usage_of(inner)
    error = inner.error if isinstance(inner.error, dict) else top.error
    if error is None and inner.status == "failed":  # on a WebSocket of the Realtime API
        error = get(inner.status_details, "error")
    code, message = _error(top, error) if error is not None or top.type == "error" else (None, None)
    said = _said(inner, usage, api, numbers)
    drawn = shapes.drawn(inner.tool_usage, numbers) if inner.tool_usage else None
    return Report(
        said=None if said == _UNSAID else said,
        model=text(inner.model) or text(top.model) or text(inner.modelVersion),
        service_tier=_tier(inner, usage),
        reasoning_effort=text(get(inner.reasoning, "effort")) if inner.reasoning else None,
        units=_units(inner, usage, api, numbers) or None,
        cost=shapes.cost(usage, numbers) if usage else None,
        nonsense=numbers.nonsense,
        error_code=code,
        error_message=message,
        resets_at=epoch_seconds(get(error, "resets_at")) if error else None,
        resets_in=epoch_seconds(get(error, "resets_in_seconds")) if error else None,
        final=_is_final(top, inner),
        response_id=text(inner.id) if inner.object == "response" else None,
        background=inner.background is True,
        drawn=drawn,
        drawn_by=shapes.drawing_model(inner.tools) if drawn else None,
    )


_UNSAID = Statement()


def _usage_of(answer: _Answer) -> Mapping[str, Any]:
    """The object with the counts where it does not stand in its place; empty where there is none."""
    for found in (get(answer.x_groq, "usage"), answer.invocation, answer.meta):
        if isinstance(found, dict):
            return found
    if answer.choices and b'"usage"' in bytes(answer.choices):  # Moonshot's streams
        choices = msgspec.json.decode(answer.choices)
        found = choices[0] if isinstance(choices, list) and choices else None
        return fields(get(found, "usage"))
    if answer.delta and b'"usage"' in bytes(answer.delta):  # Cohere's streams
        return fields(get(msgspec.json.decode(answer.delta), "usage"))
    return {}


def _said(answer: _Answer, usage: Mapping[str, Any], api: str, numbers: Numbers) -> Statement | None:
    if usage:
        if answer.timings and (cached := get(answer.timings, "cache_n")) is not None:  # inside the prompt
            usage = {"cached_tokens": cached, **usage}
        return shapes.statement(usage, api, numbers)
    if isinstance(answer.usageMetadata, dict):
        return shapes.gemini(answer.usageMetadata, numbers)
    if answer.eval_count is not None or answer.prompt_eval_count is not None:
        generated = 0 if answer.eval_count is None and api == "embeddings" else answer.eval_count
        return shapes.counters(answer.prompt_eval_count, generated, None, numbers)
    if answer.tokens_predicted is not None:
        told, cached = (answer.tokens_evaluated, answer.tokens_predicted), get(answer.timings, "cache_n")
        return shapes.counters(*told, cached, numbers, inside=True)
    if isinstance(answer.timings, dict) and "predicted_n" in answer.timings:
        t = answer.timings
        return shapes.counters(t.get("prompt_n"), t.get("predicted_n"), t.get("cache_n"), numbers)
    return None


def _units(answer: _Answer, usage: Mapping[str, Any], api: str, numbers: Numbers) -> shapes.Units:
    found = shapes.units(usage, numbers) if usage else {}
    if answer.output or answer.tool_usage:
        found |= tool_calls(answer.output, answer.tool_usage, numbers)
    if (pages := numbers.units(get(answer.usage_info, "pages_processed"))) is not None:  # Mistral's OCR
        found["pages"] = pages
    if api == "audio" and not usage and (seconds := numbers.units(answer.duration)) is not None:
        found["audio_seconds"] = seconds
    if api == "images" and usage.keys() <= {"cost_in_usd_ticks"} and (count := _length(answer.data)):
        found["images"] = Decimal(count)
    return found


def _length(raw: msgspec.Raw) -> int:
    try:
        return 0 if not raw else len(msgspec.json.decode(raw, type=list[msgspec.Raw]))
    except UNREADABLE:
        return 0


def _tier(answer: _Answer, usage: Mapping[str, Any]) -> str | None:
    if usage.get("speed") == "fast":  # Anthropic's fast mode
        return "fast"
    if found := text(answer.service_tier) or text(usage.get("service_tier")):
        return found
    # Bedrock, Gemini
    return text(get(answer.serviceTier, "type") or get(answer.usageMetadata, "serviceTier"))


def _is_final(top: _Answer, inner: _Answer) -> bool:
    if candidates := top.candidates or inner.candidates:  # Gemini closes no stream; the last says why it ends
        return b'"finishReason"' in bytes(candidates)
    return text(top.type) in _FINAL or top.done is True or top.stop is True


def _read_list(document: bytes, api: str) -> Report:
    """Gemini's streams without events: a list that is written piece by piece."""
    report = NOTHING
    try:
        pieces = _lists.decode(document)
        for one in (*pieces[:MAX_PIECES], *pieces[MAX_PIECES:][-MAX_PIECES:]):
            report = report_over(_report(_answers.decode(one), api), report)
    except UNREADABLE:
        return NOTHING
    return report


def _odd(document: bytes) -> _Answer | None:
    """An answer with numbers that JSON does not know, or that no machine holds: NaN, 1e309."""
    if len(document) > MAX_ODD or b'"usage' not in document:
        return None
    try:
        return _loose(storable(json.loads(document)))
    except (ValueError, RecursionError):
        return None


def _loose(found: object) -> _Answer | None:
    if not isinstance(found, dict):
        return None
    known: dict[str, Any] = {name: found[name] for name in _LOOSE if name in found}
    inner = found.get("response")
    return _Answer(**known, response=_loose(inner) if isinstance(inner, dict) else None)


_LOOSE = (
    *("id", "type", "object", "model", "usage", "usageMetadata", "service_tier", "status", "error"),
    "message",
)


def _error(top: _Answer, error: object) -> tuple[str | None, str | None]:
    if isinstance(error, dict):
        code = text(error.get("code")) or text(error.get("type"))
        return code or "error", text(error.get("message"))
    if top.type == "error":  # the Responses API's bare error event
        return text(top.code) or "error", text(top.message)
    if isinstance(error, str) and error:
        return "error", error
    return None, None
