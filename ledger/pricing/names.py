"""Names of models and providers: the spellings under which one model is asked for. Never a neighbour's: what
is left over beside a pattern has to be a version, a date or a region, not another word."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

PROVIDERS = {
    "x-ai": "xai",
    "gemini": "google",
    "vertex": "google",
    "vertex_ai": "google",
    "google-vertex": "google",
    "bedrock": "aws",
    "amazon-bedrock": "aws",
    "azure-openai": "azure",
    "moonshot": "moonshotai",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "perplexity-ai": "perplexity",
}
"""Other names of providers, and the one that the ledger stores."""

MAKERS = (
    "openai",
    "anthropic",
    "google",
    "xai",
    "deepseek",
    "mistral",
    "moonshotai",
    "zai",
    "zhipuai",
    "minimax",
    "cohere",
    "meta",
    "perplexity",
    "voyageai",
    "elevenlabs",
    "arcee",
)
"""Who makes models; where a request's provider is not known, a name is looked for here, in this order."""

FALLBACKS = {"azure": ("openai", "anthropic", "deepseek", "xai", "moonshotai"), "google": ("anthropic",)}
"""Providers that sell others' models at their prices."""

OWN_MACHINES = frozenset({"ollama", "vllm", "llama.cpp", "llamacpp", "lmstudio", "sglang", "local"})
"""What runs on one's own machine costs what the configuration says, never what a maker asks."""

_DATE = re.compile(r"[-@](?:20\d{2}-\d{2}-\d{2}|20\d{6})$")
_COMPACT = re.compile(r"-(20\d{2})(\d{2})(\d{2})$")
_PREFIX = re.compile(r"^(models|[a-z0-9_.-]+)/(.+)$")
_BEFORE = re.compile(r"^(?:.*[./:])?$")
_SEGMENTS = re.compile(r"([-@:./]?)([^-@:./]+)")
_VERSION = re.compile(
    r"\d{2,}|\d+b|v\d+|latest|preview|exp|experimental|beta|it|instruct|thinking|chat|global|default"
)


@dataclass(frozen=True, slots=True)
class Spelling:
    """A name to look for.

    Attributes:
        provider: that its prefix names, where it had one.
        how: what was done to get to it from the name that was asked for.
    """

    name: str
    how: tuple[str, ...] = ()
    provider: str | None = None


def canonical(provider: str) -> str:
    """A provider's one name."""
    known = provider.strip().lower()
    return PROVIDERS.get(known, known)


def spellings(model: str) -> tuple[Spelling, ...]:
    """The spellings of a model's name, those closest to it first."""
    name = model.strip().lower()
    found = _dated(Spelling(name))
    match = _PREFIX.match(name)
    if match:
        prefix, rest = match.groups()
        provider = None if prefix == "models" else canonical(prefix)
        found += _dated(Spelling(rest, ("provider prefix stripped",), provider))
    return tuple(found)


def _dated(spelling: Spelling) -> list[Spelling]:
    """As it is, with its date written in full, and without its date."""
    name, how, provider = spelling.name, spelling.how, spelling.provider
    found = [spelling]
    dashed = _COMPACT.sub(r"-\1-\2-\3", name)
    if dashed != name:
        found.append(Spelling(dashed, (*how, "date rewritten"), provider))
    plain = _DATE.sub("", name)
    if plain != name:
        found.append(Spelling(plain, (*how, "date stripped"), provider))
    return found


def scopes(provider: str | None, prefix: str | None, known: Collection[str]) -> tuple[str, ...]:
    """Whose prices may hold, the first that has one. "" stands for prices of whatever provider.

    Args:
        prefix: the provider that the model's name begins with.
        known: providers of which there are prices.
    """
    named = canonical(provider) if provider else ""
    if named in OWN_MACHINES:
        return (named, "")
    for one in (named, prefix):
        if one and (one in known or one in FALLBACKS):
            return ("", one, *FALLBACKS.get(one, ()))
    return ("", *MAKERS) if prefix is None else ("",)


def pattern_length(pattern: str) -> int:
    """How much a pattern says of a name."""
    return len(pattern.strip("*"))


def fits(pattern: str, name: str) -> bool:
    """Whether a pattern (`NAME*`, `*NAME`, `*NAME*`) means a name, and what is beside it is no other word."""
    core = pattern.strip("*")
    before, found, after = name.partition(core)
    if not found or (before and not pattern.startswith("*")) or (after and not pattern.endswith("*")):
        return False
    if not _BEFORE.match(before):
        return False
    return core.startswith("ft:") or _is_version(after, joined=core[-1].isalnum())


def _is_version(text: str, *, joined: bool) -> bool:
    """Whether text after a name only says which version of the model is meant.

    Args:
        joined: it must not go on where the name ends: what begins so is a longer name.
    """
    segments = _SEGMENTS.findall(text)
    if "".join(map("".join, segments)) != text or (segments and joined and not segments[0][0]):
        return False
    return all(_VERSION.fullmatch(word) or (mark == ":" and word.isdigit()) for mark, word in segments)
