"""From method and path to the API, the route template and what is billed. Pure; labels come from here.

What is decided here is decided on the path's meaning, whatever its spelling. What an answer then reports is
metered wherever it comes from: this only says what to expect.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Literal

from proxy.http.path import meaning
from settings.names import MAX_LENGTH

Work = Literal["generates", "deferred", "free", "unknown", "reads"]
"""What a request makes the provider do: generate now; generate later, or elsewhere, where no answer tells
what it costs; nothing that is billed; who knows; read what is stored."""

_GENERATING = {
    "/responses": "responses",
    "/responses/compact": "responses",
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
"""POSTs that are billed, by path below the base path."""

_OLLAMA = {
    "/api/chat": "chat_completions",
    "/api/generate": "completions",
    "/api/embed": "embeddings",
    "/api/embeddings": "embeddings",
}
"""The same of a server that has names of its own, with or without the first segment."""

_NATIVE = {**_OLLAMA, **{path.removeprefix("/api"): api for path, api in _OLLAMA.items()}}

_UNMETERED = (
    "/videos",
    "/videos/*/remix",
    "/rerank",
    "/ocr",
    "*:generatecontent",
    "*:streamgeneratecontent",
    "/model/*/converse",
    "/model/*/converse-stream",
    "/model/*/invoke",
    "/model/*/invoke-with-response-stream",
)
"""More of them, of no API that has a name of its own here."""

_DEFERRED = (
    "/batches",
    "/messages/batches",
    "/fine_tuning/jobs",
    "/fine-tunes",
    "/evals/*/runs",
    "/threads/runs",
    "/threads/*/runs",
    "/threads/*/runs/*/submit_tool_outputs",
    "/realtime/calls",
    "/realtime/client_secrets",
    "/realtime/sessions",
    "/realtime/transcription_sessions",
    "*:batchgeneratecontent",
)
"""POSTs whose work is billed, but not told by their answer, nor by any other that passes here."""

_FREE = (
    "/files",
    "/uploads*",
    "/moderations",
    "/assistants*",
    "/conversations*",
    "/threads",
    "/threads/*/messages*",
    "/vector_stores*",
    "/messages/count_tokens",
    "/responses/input_tokens",
    "*:counttokens",
    "/model/*/count-tokens",
    "*/models/count-tokens:rawpredict",
    "/tokenize",
    "/detokenize",
)
"""POSTs that generate nothing."""

_PREFIXES = frozenset({"openai", "v1", "v1beta"})
_NAMED_PREFIXES = frozenset({"deployments", "engines"})
"""Segments that some providers have in front of the path; those of the second kind are followed by a name."""

_READING = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
_CANCEL = "*/cancel"
"""POSTs that are answered with what is stored."""

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

_RESPONSE = "/responses/{id}"
_BATCH = "/batches/{id}"
_BATCH_OUTPUTS = ("/files/{id}/content", "/messages/batches/{id}/results", "/files/{id}:download")
_MORE_TEMPLATES = {
    **{path: path for path in (*_NATIVE, "/realtime", "/rerank", "/ocr", "/moderations", "/videos")},
    "/messages/count_tokens": "/messages/count_tokens",
    "/messages/batches": "/messages/batches",
    "/responses/input_tokens": "/responses/input_tokens",
    "/files/*/content": _BATCH_OUTPUTS[0],
    "/messages/batches/*/results": _BATCH_OUTPUTS[1],
    "*/files/*:download": _BATCH_OUTPUTS[2],
    "/models/*:generatecontent": "/models/{id}:generateContent",
    "/models/*:streamgeneratecontent": "/models/{id}:streamGenerateContent",
    "/models/*:counttokens": "/models/{id}:countTokens",
    "/models/*:embedcontent": "/models/{id}:embedContent",
    "/model/*/converse": "/model/{id}/converse",
    "/model/*/converse-stream": "/model/{id}/converse-stream",
    "/model/*/invoke": "/model/{id}/invoke",
    "/model/*/invoke-with-response-stream": "/model/{id}/invoke-with-response-stream",
    "/realtime/*": "/realtime/{id}",
}
"""Patterns of paths that are told apart; * stands for anything."""

_BACKEND = "/backend-api/"
_BACKEND_CODEX = ("/backend-api/codex", "/backend-api/codex/v1")

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

REFUSED_METHODS = frozenset({"TRACE", "TRACK", "CONNECT"})
"""They echo a request with its credentials, or ask for a tunnel."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a request is for.

    Attributes:
        template: bounded, fit for a label: `/v1/responses/{id}`, or `/v1/other` for the unknown.
        billable: whether an answer is known to cost tokens; reading a stored one again does not.
    """

    api: str
    template: str
    billable: bool
    work: Work = "unknown"

    @property
    def reports(self) -> bool:
        """Whether an answer is read for what it reports: also where nothing is expected, for another provider
        may bill it, and of a stored response, which may have been made in the background."""
        return self.work != "reads" or self.template.endswith(_RESPONSE)

    @property
    def batch_output(self) -> bool:
        """Whether the answers of a batch may be read here."""
        return self.work == "reads" and self.template.endswith(_BATCH_OUTPUTS)

    @property
    def batch(self) -> bool:
        """Whether a batch itself is read; Gemini's may hold its answers."""
        return self.work == "reads" and self.template.endswith(_BATCH)

    @property
    def speaks(self) -> bool:
        """Whether text is spoken, and billed by its characters."""
        return self.template.endswith("/audio/speech")

    @property
    def realtime(self) -> bool:
        """Whether a WebSocket here speaks the Realtime API's protocol."""
        return self.template.endswith("/realtime")


def route(method: str, tail: str) -> Route:
    """The route of a request.

    Args:
        tail: the path behind the public base path, without query, beginning with "/".
    """
    return (_route if len(tail) <= MAX_LENGTH else _route.__wrapped__)(method, tail)


@lru_cache(maxsize=1024)
def _route(method: str, tail: str) -> Route:
    path = meaning(tail)
    known = _known(path)
    api = _GENERATING.get(known) or _NATIVE.get(known) or _api(known)
    work = _work(method, known)
    prefix = "" if known == path else "/{prefix}"
    template = _template(known)
    return Route(api, f"/v1{prefix}{template}", work == "generates", work)


def backend_route(method: str, path: str) -> Route:
    """The route of a request to the ChatGPT backend, which Codex uses with a ChatGPT login.

    Args:
        path: the whole path, without query, beginning with "/backend-api/".
    """
    meant = meaning(path)
    for base in _BACKEND_CODEX:
        tail = meant.removeprefix(base)
        if tail in ("/responses", "/responses/compact"):
            work: Work = "reads" if method in _READING else "generates"
            return Route("responses", meant, work == "generates", work)
    return Route("other", f"{_BACKEND}other", False, "reads" if method in _READING else "unknown")


def _known(path: str) -> str:
    """A path without what some providers have in front of it, or in front of a generating one."""
    parts = path.split("/")[1:]
    while len(parts) > 1:
        if parts[0] in _PREFIXES:
            parts = parts[1:]
        elif parts[0] in _NAMED_PREFIXES and len(parts) > 2:
            parts = parts[2:]
        else:
            break
    plain = "/" + "/".join(parts)
    generating = next((f"/{end}" for end in _ends(parts) if f"/{end}" in _GENERATING), plain)
    is_sure = generating.count("/") > 1  # "chat/completions" is nothing else; "messages" may be a thread's
    if not is_sure and any(fnmatchcase(plain, known) for known in (*_FREE, *_DEFERRED)):
        return plain
    return generating


def _ends(parts: list[str]) -> list[str]:
    return ["/".join(parts[-count:]) for count in (2, 1) if len(parts) >= count]


def _work(method: str, known: str) -> Work:
    if method in _READING or fnmatchcase(known, _CANCEL):
        return "reads"
    if known in _GENERATING or known in _NATIVE or any(fnmatchcase(known, pattern) for pattern in _UNMETERED):
        return "generates"
    if any(fnmatchcase(known, pattern) for pattern in _DEFERRED):
        return "deferred"
    return "free" if any(fnmatchcase(known, pattern) for pattern in _FREE) else "unknown"


def _api(known: str) -> str:
    if known.startswith("/chat/completions/"):
        return "chat_completions"
    first = known.split("/", 2)[1]
    return first if first in ("responses", "models", "messages") else "other"


def _template(known: str) -> str:
    if known in _TEMPLATES:
        return _TEMPLATES[known]
    for pattern, template in _MORE_TEMPLATES.items():
        if fnmatchcase(known, pattern):
            return template
    for depth in (3, 4):  # "/models/x" has three parts, "/chat/completions/x" four
        parts = known.split("/", depth)
        found = _TEMPLATES.get("/".join(parts[: depth - 1]) + "/*")
        if found and len(parts) >= depth and parts[depth - 1]:
            return found
    return "/other"
