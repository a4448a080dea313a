"""Whose API a request goes to, and the model that its path names. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import parse_qs, unquote, urlsplit

from settings.names import Names

_HOSTS = (
    ("api.openai.com", "openai"),
    ("chatgpt.com", "openai"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "google"),
    ("aiplatform.googleapis.com", "google"),
    ("openai.azure.com", "azure"),
    ("cognitiveservices.azure.com", "azure"),
    ("services.ai.azure.com", "azure"),
    ("amazonaws.com", "aws"),
    ("openrouter.ai", "openrouter"),
    ("api.deepseek.com", "deepseek"),
    ("api.x.ai", "xai"),
    ("api.mistral.ai", "mistral"),
    ("api.groq.com", "groq"),
    ("api.moonshot.ai", "moonshotai"),
    ("api.moonshot.cn", "moonshotai"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.fireworks.ai", "fireworks"),
    ("api.cerebras.ai", "cerebras"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("api.perplexity.ai", "perplexity"),
    ("api.minimax.io", "minimax"),
    ("api.z.ai", "zai"),
    ("open.bigmodel.cn", "zhipuai"),
    ("api.voyageai.com", "voyageai"),
    ("api.novita.ai", "novita"),
)
"""Hosts, and what lies below them; the names are the price table's."""

_MODELS = re.compile(
    r"(?:.*/)?(?:(?P<openai>gpt-(?!oss)|chatgpt-|o[134](?:-|$)|codex-|text-embedding-|whisper-|tts-|dall-e-"
    r"|omni-moderation|davinci|babbage|computer-use-)"
    r"|(?P<anthropic>claude)|(?P<google>gemini|imagen|veo-|learnlm)|(?P<xai>grok)|(?P<deepseek>deepseek-"
    r"(?:chat|reasoner|v))|(?P<mistral>mistral-(?:large|medium|small|embed|ocr|moderation)|codestral|magistral|"
    r"ministral|voxtral|devstral)|(?P<moonshotai>kimi-|moonshot-)|(?P<zai>glm-)|(?P<minimax>minimax-m)"
    r"|(?P<cohere>command-|embed-v4)|(?P<perplexity>sonar)|(?P<voyageai>voyage-))"
)

_IN_PATH = re.compile(r"/(?:(?:models|deployments|engines)/([^/:]+)|model/([^/]+))")
"""Gemini's models are followed by a colon and a verb, Bedrock's have a colon in their names."""


@lru_cache(maxsize=1024)
def provider_of_host(host: str) -> str | None:
    """Whose host it is; None for one's own machines, and gateways that are not known."""
    name = host.rpartition(":")[0].lower() if re.search(r":\d+$", host) else host.lower()
    for known, provider in _HOSTS:
        if name == known or name.endswith((f".{known}", f"-{known}")):
            return provider
    return None


def provider_of_url(base: str) -> str | None:
    """Whose API lies below a base URL."""
    return provider_of_host(urlsplit(base).netloc)


def _provider_of_model(model: str) -> str | None:
    """Who makes a model, by its name; None where the name does not say."""
    match = _MODELS.match(model.lower())
    return match.lastgroup if match else None


provider_of_model = Names(_provider_of_model).__getitem__


def _model_in_target(path: str) -> str | None:
    """The model, or deployment, that path and query name: Gemini's, Azure's and Bedrock's paths, and the
    Realtime API's `?model=`."""
    tail, _, query = path.partition("?")
    if match := _IN_PATH.search(tail):
        return unquote(match[1] or match[2])[:200]
    for name in ("model", "deployment"):
        if f"{name}=" in query and (found := parse_qs(query).get(name)):
            return found[0][:200]
    return None


model_in_target = Names(_model_in_target).__getitem__
