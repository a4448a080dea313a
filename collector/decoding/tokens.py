"""Token counts of a usage record, in the ledger's meaning of them. Pure.

Newer gateways say how their counts hang together (`token_breakdown`); of older ones the provider decides:
Anthropic counts cached tokens beside the input, OpenAI within it, and Google counts thoughts beside the
output. Gateways write 0 for what they do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collector.decoding.fields import count, table
from ledger.values import NO_USAGE, Usage

BESIDE = frozenset({"anthropic"})
"""Providers whose input excludes what was read from a cache or written to one."""

THOUGHTS_BESIDE = frozenset({"google"})
"""Providers whose output excludes reasoning."""


def usage_of(record: Mapping[str, Any], provider: str | None) -> Usage:
    """The counts of a record; NO_USAGE where nothing is known of them."""
    breakdown = table(record, "token_breakdown")
    if breakdown and breakdown.get("quality") != "unclassified":
        usage = _from_breakdown(breakdown)
    else:
        usage = from_tokens(table(record, "tokens"), provider)
    return _known(usage)


def from_tokens(tokens: Mapping[str, Any], provider: str | None) -> Usage:
    """The counts by the provider's own custom."""
    given = count(tokens, "input_tokens")
    output = count(tokens, "output_tokens")
    reasoning = count(tokens, "reasoning_tokens")
    read = count(tokens, "cache_read_tokens")
    if not read:
        read = count(tokens, "cached_tokens")
    written = count(tokens, "cache_creation_tokens")
    if provider in BESIDE and given is not None:
        given += (read or 0) + (written or 0)
    if provider in THOUGHTS_BESIDE and output is not None:
        output += reasoning or 0
    return Usage(given, output, read, reasoning, written)


def _from_breakdown(breakdown: Mapping[str, Any]) -> Usage:
    into, out = table(breakdown, "input"), table(breakdown, "output")
    return Usage(
        input_tokens=count(into, "total_tokens"),
        output_tokens=count(out, "total_tokens"),
        cached_input_tokens=count(into, "cache_read_tokens"),
        reasoning_tokens=count(out, "reasoning_tokens"),
        cache_write_tokens=count(into, "cache_write_tokens"),
    )


def _known(usage: Usage) -> Usage:
    """Zeros that mean `unknown` are left out: nobody answers without having read something."""
    if usage.input_tokens:
        return usage
    if not usage.output_tokens:
        return NO_USAGE
    return Usage(output_tokens=usage.output_tokens, reasoning_tokens=usage.reasoning_tokens)
