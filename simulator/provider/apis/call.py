"""One request with the answer that the script gives it: all that an API's shape depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.values import NO_USAGE, Usage
from simulator.provider.script import Answer

EPOCH = 1_790_000_000
"""`created` of the first answer, in epoch seconds; each later one is a second younger."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request for generation and its answer.

    Attributes:
        number: counts the requests for generation; ids and times are made from it.
        request: the request's JSON.
    """

    number: int
    request: Mapping[str, Any]
    answer: Answer

    @property
    def created(self) -> int:
        return EPOCH + self.number

    @property
    def model(self) -> str:
        return self.answer.model or str(self.request["model"])

    @property
    def service_tier(self) -> str:
        asked = self.request.get("service_tier")
        return self.answer.service_tier or (str(asked) if asked not in (None, "auto") else "default")

    def id(self, prefix: str) -> str:
        """An id like the provider's, different for every call."""
        return f"{prefix}{self.number:012x}"


@dataclass(frozen=True, slots=True)
class Counts:
    """Token counts with nothing left open, for shapes that have no null."""

    input: int
    output: int
    cached: int
    reasoning: int
    cache_write: int = 0
    cache_write_1h: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output


def counts(usage: Usage) -> Counts:
    """Numbers for every field; what the script left out is 0."""
    return Counts(
        usage.input_tokens or 0,
        usage.output_tokens or 0,
        usage.cached_input_tokens or 0,
        usage.reasoning_tokens or 0,
        usage.cache_write_tokens or 0,
        usage.cache_write_1h_tokens or 0,
    )


def told(call: Call) -> Usage:
    """What a reader of the whole answer learns."""
    return call.answer.usage if call.answer.reports_usage else NO_USAGE
