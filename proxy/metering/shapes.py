"""The counts that providers report, whatever they call them: from a `usage` object to a statement. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from proxy.metering.numbers import Numbers, fields, get, text
from proxy.metering.statement import Statement, plain

Fields = Mapping[str, Any]
Units = dict[str, Decimal]

_TICKS = Decimal(10) ** 10
"""xAI's `cost_in_usd_ticks` in one US dollar."""

_SEVERAL_NAMES = {
    "inputTokens": "input_tokens",
    "outputTokens": "output_tokens",
    "totalTokens": "total_tokens",
    "cacheReadInputTokens": "cache_read_input_tokens",
    "cacheWriteInputTokens": "cache_creation_input_tokens",
    "inputTokenCount": "input_tokens",
    "outputTokenCount": "output_tokens",
    "cacheReadInputTokenCount": "cache_read_input_tokens",
    "cacheWriteInputTokenCount": "cache_creation_input_tokens",
}
"""Bedrock's names, and Anthropic's for the same."""


def _names(*sides: str) -> tuple[str, ...]:
    return tuple(f"{side}_{what}_details" for side in sides for what in ("tokens", "token"))


_INPUT_DETAILS = _names("input", "prompt")
_OUTPUT_DETAILS = _names("output", "completion")
_NO_DETAILS: Fields = {}
_FOUND = ("connector_tokens", "citation_tokens")
"""What Mistral's and Perplexity's searches found is input."""


def statement(usage: Fields, api: str, numbers: Numbers) -> Statement:
    """What a `usage` object says, by the names of OpenAI, Anthropic, Bedrock and their relatives."""
    return plain(usage, api) or _any(usage, api, numbers)


def _any(usage: Fields, api: str, numbers: Numbers) -> Statement:
    if "inputTokens" in usage or "inputTokenCount" in usage:
        usage = {**{_SEVERAL_NAMES.get(name, name): value for name, value in usage.items()}, **_hours(usage)}
    elif "billed_units" in usage:  # Cohere
        usage = {**fields(usage["billed_units"]), "cached_tokens": usage.get("cached_tokens")}
    heard = _heard(usage)
    ins = _NO_DETAILS if heard else _details(usage, _INPUT_DETAILS)  # sound is beside the input there
    outs = _details(usage, _OUTPUT_DETAILS)
    said = numbers.first(usage.get("input_tokens"), usage.get("prompt_tokens"))
    for more in _FOUND:
        if said is not None and more in usage:
            said += numbers.count(usage[more]) or 0
    output = numbers.first(usage.get("output_tokens"), usage.get("completion_tokens"))
    if api == "embeddings" and output is None and said is not None:
        output = 0
    beside, read, written, written_1h = _cache(usage, ins, numbers)
    if "iterations" in usage:
        counts = (said, output, read, written)
        said, output, read, written = _compacted(usage["iterations"], counts, numbers)
    image_output = numbers.count(outs.get("image_tokens")) or None
    if api == "images" and image_output is None and not outs:
        image_output = output
    return Statement(
        input=said,
        output=output,
        beside=beside,
        read=read,
        written=written,
        written_1h=written_1h,
        reasoning=numbers.first(
            outs.get("reasoning_tokens"), outs.get("thinking_tokens"), usage.get("reasoning_tokens")
        ),
        total=None if heard else numbers.count(usage.get("total_tokens")),
        audio_input=_uncached(ins, "audio_tokens", numbers) if ins.get("audio_tokens") else None,
        audio_output=numbers.count(outs.get("audio_tokens")) or None,
        image_input=_uncached(ins, "image_tokens", numbers) if ins.get("image_tokens") else None,
        image_output=image_output,
    )


_COMPACTED = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def _compacted(iterations: object, counts: Sequence[int | None], numbers: Numbers) -> list[int | None]:
    """Anthropic's counts, with those of the summaries of the conversation, which are told apart from them."""
    found = list(counts)
    for one in iterations if isinstance(iterations, list) else ():
        if get(one, "type") == "compaction":
            for place, name in enumerate(_COMPACTED):
                if more := numbers.count(one.get(name)):
                    found[place] = (found[place] or 0) + more
    return found


IN_HEAD = "x-amzn-bedrock-input-token-count"
_HEADS = (
    IN_HEAD,
    "x-amzn-bedrock-output-token-count",
    "x-amzn-bedrock-cache-read-input-token-count",
    "x-amzn-bedrock-cache-write-input-token-count",
)


def from_head(headers: Mapping[str, str]) -> Statement:
    """What Bedrock says in an answer's head: of some models nothing else says it."""
    numbers, given = Numbers(), [headers.get(name, "") for name in _HEADS]
    said = [numbers.count(int(text)) if text.isdecimal() and len(text) < 12 else None for text in given]
    return Statement(input=said[0], output=said[1] or 0, beside=True, read=said[2], written=said[3])


def gemini(usage: Fields, numbers: Numbers) -> Statement:
    """What Gemini's `usageMetadata` says: thoughts are counted beside the candidates."""
    prompt = numbers.count(usage.get("promptTokenCount"))
    tools = numbers.count(usage.get("toolUsePromptTokenCount"))
    candidates = numbers.first(usage.get("candidatesTokenCount"), usage.get("responseTokenCount"))
    thoughts = numbers.count(usage.get("thoughtsTokenCount"))
    total = numbers.count(usage.get("totalTokenCount"))
    whole = None if prompt is None else prompt + (tools or 0)
    output = None if candidates is None and thoughts is None else (candidates or 0) + (thoughts or 0)
    if output is None and whole is not None:  # an answer of nothing, or an embedding
        output = max(0, (total or 0) - whole)
    ins, outs = usage.get("promptTokensDetails"), usage.get("candidatesTokensDetails")
    cached = usage.get("cacheTokensDetails")
    return Statement(
        input=whole,
        output=output,
        read=numbers.count(usage.get("cachedContentTokenCount")),
        reasoning=thoughts,
        total=total,
        audio_input=_less(_modality(ins, "AUDIO", numbers), _modality(cached, "AUDIO", numbers)),
        audio_output=_modality(outs, "AUDIO", numbers),
        image_input=_less(_modality(ins, "IMAGE", numbers), _modality(cached, "IMAGE", numbers)),
        image_output=_modality(outs, "IMAGE", numbers),
    )


def counters(
    prompt: object, generated: object, cached: object, numbers: Numbers, *, inside: bool = False
) -> Statement:
    """What the servers of one's own machine say: the prompt without what was in the cache, or with it."""
    read = numbers.count(cached)
    beside = read is not None and not inside
    return Statement(input=numbers.count(prompt), output=numbers.count(generated), beside=beside, read=read)


_BESIDE_TOKENS = frozenset(
    {
        *("server_tool_use", "server_side_tool_usage_details", "num_search_queries", "connectors"),
        *("seconds", "prompt_audio_seconds"),
    }
)


def units(usage: Fields, numbers: Numbers) -> Units:
    """What a `usage` object says of what is billed beside tokens."""
    if _BESIDE_TOKENS.isdisjoint(usage):
        return {}
    tools = fields(usage.get("server_tool_use"))
    calls = fields(usage.get("server_side_tool_usage_details"))
    searches = numbers.first(
        tools.get("web_search_requests"),
        calls.get("web_search_calls"),
        usage.get("num_search_queries"),
        get(usage.get("connectors"), "web_search"),
    )
    seconds = usage.get("seconds") if usage.get("type") == "duration" else None
    if _heard(usage):
        seconds = usage["prompt_audio_seconds"]
    found = {"web_search": numbers.units(searches), "audio_seconds": numbers.units(seconds)}
    return {name: count for name, count in found.items() if count}


_COSTS = frozenset({"cost_in_usd_ticks", "cost", "estimated_cost", "cost_details"})


def cost(usage: Fields, numbers: Numbers) -> Decimal | None:
    """What the provider itself says that it cost, in US dollars."""
    if _COSTS.isdisjoint(usage):
        return None
    if (ticks := usage.get("cost_in_usd_ticks")) is not None:
        return numbers.usd(ticks, _TICKS)
    told = usage.get("cost")
    if isinstance(told, dict):  # Perplexity
        told = told.get("total_cost")
    found = numbers.usd(usage.get("estimated_cost") if told is None else told)
    upstream = get(usage, "cost_details", "upstream_inference_cost")
    if found is not None and usage.get("is_byok") is True:  # OpenRouter's is then its fee alone
        found += numbers.usd(upstream) or 0
    return found


def _heard(usage: Fields) -> bool:
    """Whether Mistral counts seconds of sound, whose tokens are in no other count; `{}` and 0 are none."""
    seconds = usage.get("prompt_audio_seconds")
    return isinstance(seconds, int | float) and seconds > 0


def _details(usage: Fields, names: tuple[str, ...]) -> Fields:
    for name in names:
        if found := usage.get(name):
            return fields(found)
    return _NO_DETAILS


def _cache(
    usage: Fields, details: Fields, numbers: Numbers
) -> tuple[bool, int | None, int | None, int | None]:
    """Whether cached tokens are counted beside the input; those read, written, and written for an hour."""
    inside = numbers.first(
        details.get("cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),
        usage.get("cached_tokens"),
        usage.get("num_cached_tokens"),
    )
    written = numbers.first(details.get("cache_write_tokens"), details.get("cache_creation_tokens")) or None
    if (
        "cache_read_input_tokens" not in usage
        and "cache_creation_input_tokens" not in usage
        and "cache_creation" not in usage
    ):
        return False, inside, written, None
    read = numbers.count(usage.get("cache_read_input_tokens"))
    created = numbers.count(usage.get("cache_creation_input_tokens"))
    by_time = fields(usage.get("cache_creation"))
    hour = numbers.count(by_time.get("ephemeral_1h_input_tokens"))
    minutes = numbers.count(by_time.get("ephemeral_5m_input_tokens"))
    if hour is not None or minutes is not None:
        created = max(created or 0, (hour or 0) + (minutes or 0))
    # Gateways that speak OpenAI's dialect add Anthropic's names, for counts that are inside the input.
    beside = not inside and not (usage.get("prompt_tokens") and not usage.get("input_tokens"))
    return beside, read if read is not None else inside, created or written, hour or None


def _hours(usage: Fields) -> Fields:
    """Bedrock's list of cache writes by their time to live, in Anthropic's words."""
    entries = usage.get("cacheDetails")
    listed = entries if isinstance(entries, list) else []
    hours = [get(entry, "inputTokens") for entry in listed if get(entry, "ttl") == "1h"]
    counts = [n for n in hours if type(n) is int and n > 0]
    return {"cache_creation": {"ephemeral_1h_input_tokens": sum(counts)}} if counts else {}


def _uncached(details: Fields, name: str, numbers: Numbers) -> int | None:
    """A part of the input that has a rate of its own, without what of it was cached."""
    return _less(numbers.count(details.get(name)), numbers.count(get(details, "cached_tokens_details", name)))


def _less(count: int | None, cached: int | None) -> int | None:
    """A part without what of it was cached; None for none."""
    return max(0, (count or 0) - (cached or 0)) or None


def _modality(entries: object, name: str, numbers: Numbers) -> int | None:
    if not isinstance(entries, list):
        return None
    counts = [numbers.count(e.get("tokenCount")) for e in entries if get(e, "modality") == name]
    return sum(count or 0 for count in counts) or None


_BILLED = {"web_search_call": "web_search", "file_search_call": "file_search"}


class _Item(msgspec.Struct):
    type: Any = None
    action: Any = None
    model: Any = None


_items = msgspec.json.Decoder(list[_Item])


def tool_calls(output: msgspec.Raw, tool_usage: object, numbers: Numbers) -> dict[str, Decimal]:
    """How often each tool was called that the provider runs, and bills by number.

    Args:
        output: a response's list of items; pages that a search opens are items too, and are not billed.
        tool_usage: the counts that some responses bring; they hold where they stand.
    """
    found = _counted(output)
    if not isinstance(tool_usage, dict):
        return found
    for name in ("web_search", "file_search"):
        told = numbers.units(get(tool_usage, name, "num_requests"))
        if told is not None:
            found[name] = told
    return found


def _counted(output: msgspec.Raw) -> dict[str, Decimal]:
    if not output or b"_search_call" not in bytes(output):
        return {}
    try:
        items = _items.decode(output)
    except (msgspec.DecodeError, RecursionError):
        return {}
    found: dict[str, Decimal] = {}
    for item in items:
        name = _BILLED.get(item.type) if isinstance(item.type, str) else None
        if name and get(item.action, "type") in (None, "search"):
            found[name] = found.get(name, Decimal(0)) + 1
    return found


def drawn(tool_usage: object, numbers: Numbers) -> Statement | None:
    """What the images came to that a response drew with its tool: beside its own counts, of another model."""
    told = get(tool_usage, "image_gen")
    said = statement(told, "images", numbers) if isinstance(told, dict) else None
    return said if said and (said.input or said.output) else None


def drawing_model(tools: msgspec.Raw) -> str | None:
    """The model that draws, as a response's list of tools names it."""
    try:
        found = _items.decode(tools)
    except (msgspec.DecodeError, RecursionError):
        return None
    return next((text(tool.model) for tool in found if tool.type == "image_generation"), None)
