"""The gateways' names of providers and endpoints -> ours. Pure; labels come from here."""

from __future__ import annotations

import re
from functools import lru_cache

from ledger.pricing.names import MAKERS, canonical

_COMPATIBLE = "openai-compatible-"
_SELLERS = frozenset(
    (*MAKERS, "azure", "aws", "groq", "openrouter", "together", "fireworks", "cerebras", "nvidia", "ollama")
)
_PROVIDERS = {
    "claude": "anthropic",
    "anthropic": "anthropic",
    "codex": "openai",
    "openai": "openai",
    "gemini": "google",
    "gemini-cli": "google",
    "gemini-interactions": "google",
    "antigravity": "google",
    "aistudio": "google",
    "vertex": "google",
    "xai": "xai",
    "grok": "xai",
    "kimi": "moonshotai",
    "qwen": "qwen",
    "iflow": "iflow",
}
_MODELS = (
    (re.compile(r"claude"), "anthropic"),
    (re.compile(r"gpt|o[1-9](?:-|$)|codex|davinci|text-embedding-(?:3|ada)|whisper|tts-"), "openai"),
    (re.compile(r"gemini|gemma"), "google"),
    (re.compile(r"grok"), "xai"),
    (re.compile(r"deepseek"), "deepseek"),
    (re.compile(r"kimi|moonshot"), "moonshotai"),
    (re.compile(r"mistral|codestral|devstral|magistral|ministral"), "mistral"),
    (re.compile(r"qwen|qwq"), "qwen"),
)

_APIS = {
    "/responses": "responses",
    "/responses/compact": "responses",
    "/chat/completions": "chat_completions",
    "/completions": "completions",
    "/embeddings": "embeddings",
    "/messages": "messages",
    "/images/generations": "images",
    "/images/edits": "images",
    "/audio/speech": "audio",
    "/audio/transcriptions": "audio",
    "/audio/translations": "audio",
}
_GOOGLE = re.compile(r"/models/[^/]+:(\w{1,40})$")
_GOOGLE_VERBS = frozenset(
    {
        "generateContent",
        "streamGenerateContent",
        "countTokens",
        "embedContent",
        "batchEmbedContents",
        "predict",
    }
)
_VERSION = re.compile(r"^/(?:api/provider/[^/]+/)?(v\d\w{0,10})(?=/)|^/backend-api/codex")
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


@lru_cache(maxsize=1024)
def provider_of(name: str | None, model: str | None) -> str | None:
    """Whose model answered, by the gateway's name of the provider, else by the model's; None: unknown."""
    given = (name or "").casefold()
    known = _PROVIDERS.get(given) or canonical(given.removeprefix(_COMPATIBLE))
    if known in _SELLERS or given in _PROVIDERS:
        return known
    lowered = (model or "").casefold().rpartition("/")[2]
    return next((provider for pattern, provider in _MODELS if pattern.match(lowered)), None)


@lru_cache(maxsize=1024)
def endpoint(text: str | None) -> tuple[str, str, str]:
    """`POST /v1/chat/completions` -> method, route template, API; all of them bounded."""
    method, _, path = (text or "").partition(" ")
    method = method.upper() if method.upper() in METHODS else "other"
    path = path.partition("?")[0].rstrip("/")
    tail = _VERSION.sub("", path)
    for known in (tail, "/" + "/".join(tail.split("/")[-2:]), "/" + tail.rpartition("/")[2]):
        if known in _APIS:
            return method, f"/v1{known}", _APIS[known]
    google = _GOOGLE.search(tail)
    if google and google[1] in _GOOGLE_VERBS:
        return method, f"/v1beta/models/{{model}}:{google[1]}", "other"
    return method, "/v1/other", "other"
