"""POST /v1/responses: one response object that its events build up."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from simulator.provider import limits
from simulator.provider.apis.call import Call, counts, told
from simulator.provider.sse import Event, named_event


def body(call: Call) -> dict[str, Any]:
    """The finished `response`, as it is answered, sent with the last event, and read again later."""
    ending = call.answer.ending
    return {
        **_opened(call),
        "status": ending,
        "error": _ERROR if ending == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if ending == "incomplete" else None,
        "output": [] if ending == "failed" else [item for item, _ in _items(call)],
        "usage": usage(call) if call.answer.reports_usage else None,
    }


def events(call: Call) -> Iterator[Event]:
    """The events of a stream, numbered from 0; the last one carries the usage."""
    number = count()
    if call.answer.limits_event and call.answer.limits is not None:
        yield named_event(limits.event(call.answer.limits))
    for document in _documents(call):
        tells = call.answer.reports_usage and document["type"] == f"response.{call.answer.ending}"
        yield named_event({**document, "sequence_number": next(number)}, told(call) if tells else None)


def usage(call: Call) -> dict[str, Any]:
    """`usage` as responses tell it."""
    n = counts(call.answer.usage)
    return {
        "input_tokens": n.input,
        "input_tokens_details": {"cached_tokens": n.cached, "cache_write_tokens": n.cache_write},
        "output_tokens": n.output,
        "output_tokens_details": {"reasoning_tokens": n.reasoning},
        "total_tokens": n.total,
    }


_ERROR = {"code": "server_error", "message": "The model failed to generate a response."}


def _documents(call: Call) -> Iterator[dict[str, Any]]:
    yield {"type": "response.created", "response": _opened(call)}
    yield {"type": "response.in_progress", "response": _opened(call)}
    for index, (item, opened) in enumerate(_items(call)):
        yield {"type": "response.output_item.added", "output_index": index, "item": opened}
        if item["type"] == "message":
            yield from _text(call, item["id"], index)
        if call.answer.ending != "failed":
            yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{call.answer.ending}", "response": body(call)}


def _text(call: Call, item_id: str, output_index: int) -> Iterator[dict[str, Any]]:
    place = {"item_id": item_id, "output_index": output_index, "content_index": 0}
    yield {"type": "response.content_part.added", **place, "part": _part("")}
    for _ in range(call.answer.events):
        yield {"type": "response.output_text.delta", **place, "delta": call.answer.word, "logprobs": []}
    if call.answer.ending != "failed":
        yield {"type": "response.output_text.done", **place, "text": call.answer.text, "logprobs": []}
        yield {"type": "response.content_part.done", **place, "part": _part(call.answer.text)}


def _items(call: Call) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Output items, each finished and as it looked when it was opened."""
    if call.answer.usage.reasoning_tokens:
        reasoning = {"id": call.id("rs_"), "type": "reasoning", "summary": []}
        yield reasoning, reasoning
    message = {"id": call.id("msg_"), "type": "message", "role": "assistant"}
    status = "completed" if call.answer.ending == "completed" else "incomplete"
    yield (
        {**message, "status": status, "content": [_part(call.answer.text)]},
        {**message, "status": "in_progress", "content": []},
    )


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _opened(call: Call) -> dict[str, Any]:
    ask = call.request
    reasoning = ask.get("reasoning") or {}
    return {
        "id": call.id("resp_"),
        "object": "response",
        "created_at": call.created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": ask.get("instructions"),
        "max_output_tokens": ask.get("max_output_tokens"),
        "model": call.model,
        "output": [],
        "parallel_tool_calls": ask.get("parallel_tool_calls", True),
        "previous_response_id": ask.get("previous_response_id"),
        "prompt_cache_key": ask.get("prompt_cache_key"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "service_tier": call.service_tier,
        "store": ask.get("store", True),
        "temperature": ask.get("temperature", 1.0),
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": ask.get("tool_choice", "auto"),
        "tools": [],
        "top_p": ask.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
        "metadata": ask.get("metadata") or {},
    }
