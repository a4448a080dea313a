"""POST /v1/messages, Anthropic's shape: its input tokens leave cached ones out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from ledger.values import Usage
from simulator.provider.apis import call as calls
from simulator.provider.apis.call import Call, counts
from simulator.provider.sse import Event, named_event


def body(call: Call) -> dict[str, Any]:
    """A whole `message`."""
    content = [{"type": "text", "text": call.answer.text}]
    document = {**_opened(call), "content": content, "stop_reason": _stop_reason(call)}
    return {**document, "usage": usage(call)} if call.answer.reports_usage else document


def events(call: Call) -> Iterator[Event]:
    """Input tokens stand in the first event and, with the output tokens, in the last but one."""
    reports = call.answer.reports_usage
    opened = {**_opened(call), "usage": {**usage(call), "output_tokens": 1}} if reports else _opened(call)
    first = replace(told(call), output_tokens=1) if reports else None
    yield named_event({"type": "message_start", "message": opened}, first)
    yield named_event(
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    )
    yield named_event({"type": "ping"})
    for _ in range(call.answer.events):
        delta = {"type": "text_delta", "text": call.answer.word}
        yield named_event({"type": "content_block_delta", "index": 0, "delta": delta})
    yield named_event({"type": "content_block_stop", "index": 0})
    yield _message_delta(call)
    yield named_event({"type": "message_stop"})


def _message_delta(call: Call) -> Event:
    delta = {"stop_reason": _stop_reason(call), "stop_sequence": None}
    document: dict[str, Any] = {"type": "message_delta", "delta": delta}
    if not call.answer.reports_usage:
        return named_event(document)
    counted = {name: number for name, number in usage(call).items() if name.endswith("_tokens")}
    return named_event({**document, "usage": counted}, told(call))


def told(call: Call) -> Usage:
    """What a reader of the whole answer learns; reasoning is not told apart."""
    return replace(calls.told(call), reasoning_tokens=None)


def usage(call: Call) -> dict[str, Any]:
    """`usage` of a whole message."""
    n = counts(call.answer.usage)
    written = n.cache_write + n.cache_write_1h
    return {
        "input_tokens": n.input - n.cached - written,
        "cache_creation_input_tokens": written,
        "cache_creation": {
            "ephemeral_5m_input_tokens": n.cache_write,
            "ephemeral_1h_input_tokens": n.cache_write_1h,
        },
        "cache_read_input_tokens": n.cached,
        "output_tokens": n.output,
        "service_tier": "standard",
    }


def _stop_reason(call: Call) -> str:
    return "end_turn" if call.answer.ending == "completed" else "max_tokens"


def _opened(call: Call) -> dict[str, Any]:
    return {
        "id": call.id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }
