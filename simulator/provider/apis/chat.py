"""POST /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.provider.apis.call import Call, counts, told
from simulator.provider.sse import DONE, Event, data_event


def body(call: Call) -> dict[str, Any]:
    """A whole `chat.completion`."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": call.answer.text,
        "refusal": None,
        "annotations": [],
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(call)}
    document = _envelope(call, "chat.completion", [choice])
    return {**document, "usage": usage(call)} if call.answer.reports_usage else document


def events(call: Call) -> Iterator[Event]:
    """`chat.completion.chunk`s: the role, the deltas, the end, the usage where it was asked for."""
    yield _chunk(call, {"role": "assistant", "content": "", "refusal": None})
    for _ in range(call.answer.events):
        yield _chunk(call, {"content": call.answer.word})
    yield _chunk(call, {}, finish_reason(call))
    if wants_usage(call) and call.answer.reports_usage:
        yield data_event({**_envelope(call, _CHUNK, []), "usage": usage(call)}, told(call))
    yield DONE


def usage(call: Call) -> dict[str, Any]:
    """`usage` as chat completions and completions tell it."""
    n = counts(call.answer.usage)
    return {
        "prompt_tokens": n.input,
        "completion_tokens": n.output,
        "total_tokens": n.total,
        "prompt_tokens_details": {"cached_tokens": n.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": n.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def wants_usage(call: Call) -> bool:
    """Whether the request asks for the usage chunk."""
    options = call.request.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def finish_reason(call: Call) -> str:
    return "stop" if call.answer.ending == "completed" else "length"


_CHUNK = "chat.completion.chunk"


def _envelope(call: Call, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": call.id("chatcmpl-"),
        "object": kind,
        "created": call.created,
        "model": call.model,
        "choices": choices,
        "service_tier": call.service_tier,
        "system_fingerprint": "fp_simulated",
    }


def _chunk(call: Call, delta: dict[str, Any], finish: str | None = None) -> Event:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    document = _envelope(call, _CHUNK, [choice])
    return data_event({**document, "usage": None} if wants_usage(call) else document)
