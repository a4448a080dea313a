"""POST /v1/completions, the legacy API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from simulator.provider.apis.call import Call, told
from simulator.provider.apis.chat import finish_reason, usage, wants_usage
from simulator.provider.sse import DONE, Event, data_event


def body(call: Call) -> dict[str, Any]:
    """A whole `text_completion`."""
    document = _envelope(call, [_choice(call.answer.text, finish_reason(call))])
    return {**document, "usage": usage(call)} if call.answer.reports_usage else document


def events(call: Call) -> Iterator[Event]:
    """`text_completion`s with a piece of text each, and the usage where it was asked for."""
    for _ in range(call.answer.events):
        yield _piece(call, call.answer.word)
    yield _piece(call, "", finish_reason(call))
    if wants_usage(call) and call.answer.reports_usage:
        yield data_event({**_envelope(call, []), "usage": usage(call)}, told(call))
    yield DONE


def _piece(call: Call, text: str, finish: str | None = None) -> Event:
    document = _envelope(call, [_choice(text, finish)])
    return data_event({**document, "usage": None} if wants_usage(call) else document)


def _choice(text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": 0, "logprobs": None, "finish_reason": finish}


def _envelope(call: Call, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": call.id("cmpl-"),
        "object": "text_completion",
        "created": call.created,
        "model": call.model,
        "choices": choices,
        "system_fingerprint": "fp_simulated",
    }
