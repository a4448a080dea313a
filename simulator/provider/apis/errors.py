"""The provider's error bodies, in OpenAI's and in Anthropic's shape."""

from __future__ import annotations

from typing import Any

from simulator.provider.apis import chat, messages, responses
from simulator.provider.apis.call import Call
from simulator.provider.script import ErrorInside, Refuse
from simulator.provider.sse import Event, data_event, named_event


def body(api: str, refusal: Refuse) -> dict[str, Any]:
    if api == "messages":
        return {"type": "error", "error": {"type": refusal.code or refusal.type, "message": refusal.message}}
    return {
        "error": {
            "message": refusal.message,
            "type": refusal.type,
            "param": None,
            "code": refusal.code,
        }
    }


def with_usage(api: str, call: Call, document: dict[str, Any]) -> dict[str, Any]:
    """An error body that tells token counts, as some gateways do."""
    tell = {"responses": responses.usage, "messages": messages.usage}.get(api, chat.usage)
    return {**document, "usage": tell(call)}


def inside(api: str, error: ErrorInside) -> dict[str, Any]:
    """The JSON of an error that comes with status 200."""
    if api == "responses":
        return {"type": "error", "code": error.code, "message": error.message, "param": None}
    refusal = Refuse(status=200, code=error.code, type="server_error", message=error.message)
    return body(api, refusal)


def event(api: str, error: ErrorInside, number: int) -> Event:
    """The event of an error in mid-stream; `number` is its place among the events."""
    document = inside(api, error)
    if api == "responses":
        return named_event({**document, "sequence_number": number})
    return named_event(document) if api == "messages" else data_event(document)
