"""Which path is which API."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ledger.values import Usage
from simulator.provider.apis import chat, completions, embeddings, messages, responses
from simulator.provider.apis.call import Call, told
from simulator.provider.sse import Event


@dataclass(frozen=True, slots=True)
class Api:
    """One API.

    Attributes:
        name: as the ledger calls it.
        body: the JSON of an answer that is no stream.
        events: the events of a stream; None where the API has no streams.
        told: the token counts that a reader of the whole answer learns.
    """

    name: str
    body: Callable[[Call], dict[str, Any]]
    events: Callable[[Call], Iterator[Event]] | None = None
    told: Callable[[Call], Usage] = told


APIS: Mapping[str, Api] = {
    "/v1/chat/completions": Api("chat_completions", chat.body, chat.events),
    "/v1/responses": Api("responses", responses.body, responses.events),
    "/v1/completions": Api("completions", completions.body, completions.events),
    "/v1/embeddings": Api("embeddings", embeddings.body, told=embeddings.told),
    "/v1/messages": Api("messages", messages.body, messages.events, messages.told),
}
"""The APIs that generate, by path."""

MODELS = (
    "gpt-6.1-sol",
    "gpt-6-luna",
    "gpt-5.5",
    "gpt-5.4-mini",
    "gpt-4o-mini",
    "text-embedding-3-small",
)
"""What GET /v1/models lists."""


def models() -> dict[str, Any]:
    """The JSON of GET /v1/models."""
    data = [{"id": m, "object": "model", "created": 1_780_000_000, "owned_by": "system"} for m in MODELS]
    return {"object": "list", "data": data}
