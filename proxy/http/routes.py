"""From method and path to the API, the route template and what is billed. Pure; labels come from here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

_GENERATING = {
    "/responses": "responses",
    "/chat/completions": "chat_completions",
    "/completions": "completions",
    "/embeddings": "embeddings",
    "/messages": "messages",
    "/images/generations": "images",
    "/images/edits": "images",
    "/images/variations": "images",
    "/audio/speech": "audio",
    "/audio/transcriptions": "audio",
    "/audio/translations": "audio",
}
"""POSTs that cost tokens, by path below the base path."""

_TEMPLATES = {
    **{path: path for path in _GENERATING},
    "/models": "/models",
    "/files": "/files",
    "/batches": "/batches",
    "/responses/*": "/responses/{id}",
    "/chat/completions/*": "/chat/completions/{id}",
    "/models/*": "/models/{id}",
    "/files/*": "/files/{id}",
    "/batches/*": "/batches/{id}",
    "/messages/*": "/messages/{id}",
}
"""Known paths; a trailing * stands for one more segment, with or without others behind it."""

_BACKEND = frozenset({"/backend-api/codex/responses", "/backend-api/codex/v1/responses"})

APIS = (
    "responses",
    "chat_completions",
    "completions",
    "embeddings",
    "images",
    "audio",
    "models",
    "messages",
    "other",
)
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Route:
    """What a request is for.

    Attributes:
        template: bounded, fit for a label: `/v1/responses/{id}`, or `/v1/other` for the unknown.
        billable: whether an answer costs tokens; reading a stored one again does not.
    """

    api: str
    template: str
    billable: bool


@lru_cache(maxsize=1024)
def route(method: str, tail: str) -> Route:
    """The route of a request.

    Args:
        tail: the path behind the public base path, without query, beginning with "/".
    """
    template = _template(tail)
    api = _GENERATING.get(tail)
    if api is None:
        first = tail.split("/", 2)[1]
        api = first if first in ("responses", "models", "messages") else "other"
        if tail.startswith("/chat/completions/"):
            api = "chat_completions"
    return Route(api, f"/v1{template}", method == "POST" and tail in _GENERATING)


@lru_cache(maxsize=1024)
def backend_route(method: str, path: str) -> Route:
    """The route of a request to the ChatGPT backend, which Codex uses with a ChatGPT login.

    Args:
        path: the whole path, without query, beginning with "/backend-api/".
    """
    if path in _BACKEND:
        return Route("responses", path, method == "POST")
    return Route("other", "/backend-api/other", False)


def _template(tail: str) -> str:
    if tail in _TEMPLATES:
        return _TEMPLATES[tail]
    for depth in (3, 4):  # "/models/x" has three parts, "/chat/completions/x" four
        parts = tail.split("/", depth)
        known = _TEMPLATES.get("/".join(parts[: depth - 1]) + "/*")
        if known and len(parts) >= depth and parts[depth - 1]:
            return known
    return "/other"
